"""Starts the page, and cleans up behind it."""

import contextlib
import ipaddress
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import fastapi
import gradio as gr
import uvicorn
from starlette.middleware import Middleware

from adiff_jax.app.web.examples import draw_examples
from adiff_jax.app.web.guard import Guard
from adiff_jax.app.web.limits import PageLimits
from adiff_jax.app.web.page import CSS, Page
from adiff_jax.app.web.sessions import Sessions
from adiff_jax.app.web.worker import Worker
from adiff_jax.weights.bundle import find_bundle

SWEEP_EVERY = 60.0  # seconds
FONTS = ["system-ui", "sans-serif"]  # of the visitor's machine
AUTH_VARIABLE = "ADIFF_SERVE_AUTH"

_log = logging.getLogger(__name__)


def serve(
    bundle: str,
    *,
    host: str,
    port: int,
    limits: PageLimits,
    landmark_model: Path | None = None,
    ready: Callable[[str], None],
) -> None:
    """Serves the page until SIGINT or SIGTERM.

    Args:
        bundle: what the pipeline is loaded from.
        host: address to listen at.
        port: to listen at; 0 chooses a free one.
        limits: of what visitors may ask for.
        landmark_model: MediaPipe's FaceLandmarker file; None looks it up, when a real picture or video needs it.
        ready: called with the page's address when it can be opened.

    Raises:
        WeightsError: there is no such bundle.
        ValueError: there is no such port, or the environment has a password that is none.
        OSError: the port is taken.
    """
    auth = user_and_password()
    bundle = str(find_bundle(bundle))
    model = None if landmark_model is None else str(landmark_model)
    with listening(host, port) as listener, stop_signals() as stop, Sessions() as sessions:
        os.environ["GRADIO_TEMP_DIR"] = str(sessions.uploads)
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        gr.set_static_paths([sessions.examples, sessions.results])
        seconds = 60.0 * limits.max_minutes
        workers = [
            Worker(bundle, model, seconds, sessions.root / f"worker-{number}") for number in range(limits.concurrency)
        ]
        for worker in workers:
            worker.start()
        page = Page(limits, sessions, draw_examples(sessions.examples), workers)
        try:
            with answering(as_app(page, limits, sessions, auth), listener):
                if auth is None and not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
                    _log.warning("whoever reaches this machine can use the page: set %s=USER:PASSWORD", AUTH_VARIABLE)
                ready(address_of(listener))
                while not stop.wait(SWEEP_EVERY):
                    sessions.sweep()
        finally:
            for worker in workers:
                worker.close()


def user_and_password() -> tuple[str, str] | None:
    """Who may use the page, from the environment variable `ADIFF_SERVE_AUTH`; None, everybody, if it is not set.

    Raises:
        ValueError: it is not of the form USER:PASSWORD.
    """
    value = os.environ.get(AUTH_VARIABLE)
    if value is None:
        return None
    user, _, password = value.partition(":")
    if not user or not password:
        raise ValueError(f"{AUTH_VARIABLE} must be of the form USER:PASSWORD")
    return user, password


def as_app(page: Page, limits: PageLimits, sessions: Sessions, auth: tuple[str, str] | None = None) -> fastapi.FastAPI:
    """The page behind its guard, and behind a login if there is a user with a password."""
    guard = Middleware(Guard, limits=limits, sessions=sessions)
    app = fastapi.FastAPI(middleware=[guard], docs_url=None, redoc_url=None, openapi_url=None)
    return gr.mount_gradio_app(
        app,
        page.blocks,
        path="/",
        auth=auth,
        ssr_mode=False,
        footer_links=[],
        run_history=False,
        max_file_size=limits.max_upload_bytes,
        theme=gr.themes.Default(font=FONTS, font_mono=["ui-monospace", "monospace"]),
        css=CSS,
    )


@contextlib.contextmanager
def answering(app: fastapi.FastAPI, listener: socket.socket) -> Iterator[None]:
    """Answers requests in a thread.

    Raises:
        RuntimeError: the server ended while it started.
    """
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            thread.join(0.05)
            if not thread.is_alive():
                raise RuntimeError("the web server did not start")
        yield
    finally:
        server.should_exit = True
        thread.join()


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        OSError: nobody can.
        ValueError: there is no such port.
    """
    if not 0 <= port < 2**16:
        raise ValueError(f"port must be within 0 and {2**16 - 1}, not {port}")
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise OSError(f"cannot listen at {host}:{port} ({error.strerror}); choose another --port") from error


def address_of(listener: socket.socket) -> str:
    """Where the page can be opened on this machine; one that listens at every address does so at the loopback's."""
    host, port = listener.getsockname()
    return f"http://{'127.0.0.1' if ipaddress.ip_address(host).is_unspecified else host}:{port}/"


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, instead of ending the process."""
    stop = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
