"""Turns away requests whose body is too large, before it is stored."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from adiff_jax.app.web.limits import PageLimits
from adiff_jax.app.web.sessions import Sessions

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

ENVELOPE = 100_000  # bytes of a request that carries a file, beside the file
CLOSED = ("/process_recording",)  # of Gradio; converts videos in the server's process


class TooLargeError(Exception):
    """The body goes on although it had to end."""


class Guard:
    """ASGI middleware: 413 for a body over the limit, announced or not, 507 when there is no room for it.

    Args:
        app: what lies behind.
        limits: of the page.
        sessions: whose files take up the room.
    """

    def __init__(self, app: App, limits: PageLimits, sessions: Sessions):
        self._app = app
        self._limits = limits
        self._sessions = sessions

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            return await self._app(scope, receive, send)
        if scope["path"].rstrip("/").endswith(CLOSED):
            return await _refuse(send, 404, "not found")
        most = self._limits.max_upload_bytes + ENVELOPE
        too_large = f"file too large: at most {self._limits.max_upload_mb} MB"
        headers = scope["headers"]
        announced = dict(headers).get(b"content-length")
        if announced is not None and (not announced.isdigit() or int(announced) > most):
            return await _refuse(send, 413, too_large)
        uploads = any(name == b"content-type" and b"multipart" in value.lower() for name, value in headers)
        size = most if announced is None else int(announced)
        if uploads and self._sessions.stored() + size > self._limits.max_stored_bytes:
            return await _refuse(send, 507, "no room for more files; try again later")

        received, started = 0, False

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise TooLargeError
            return message

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive_counted, send_noted)
        except TooLargeError:
            if not started:
                await _refuse(send, 413, too_large)


async def _refuse(send: Send, status: int, reason: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})
