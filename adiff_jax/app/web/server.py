"""Starts the page, and cleans up behind it."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr
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
        OSError: the port is taken.
    """
    bundle = str(find_bundle(bundle))
    model = None if landmark_model is None else str(landmark_model)
    with stop_signals() as stop, Sessions() as sessions:
        os.environ["GRADIO_TEMP_DIR"] = str(sessions.uploads)
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        seconds = 60.0 * limits.max_minutes
        workers = [
            Worker(bundle, model, seconds, sessions.root / f"worker-{number}") for number in range(limits.concurrency)
        ]
        gr.set_static_paths([sessions.examples, sessions.results])
        for worker in workers:
            worker.start()
        page = Page(limits, sessions, draw_examples(sessions.examples), workers)
        try:
            refuse_taken(host, port)
            _, address, _ = page.blocks.launch(
                server_name=host,
                server_port=port or None,
                prevent_thread_lock=True,
                quiet=True,
                ssr_mode=False,
                share=False,
                footer_links=[],
                max_file_size=limits.max_upload_bytes,
                theme=gr.themes.Default(font=FONTS, font_mono=["ui-monospace", "monospace"]),
                css=CSS,
                app_kwargs={"middleware": [Middleware(Guard, limits=limits, sessions=sessions)]},
            )
            ready(address)
            while not stop.wait(SWEEP_EVERY):
                sessions.sweep()
        finally:
            page.blocks.close(verbose=False)
            for worker in workers:
                worker.stop()


def refuse_taken(host: str, port: int) -> None:
    """Raises `OSError` if nobody can listen at this port."""
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise OSError(f"cannot listen at {host}:{port} ({error.strerror}); choose another --port") from error


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
