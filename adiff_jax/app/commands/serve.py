"""`adiff serve`: the web page."""

import dataclasses
from pathlib import Path

from adiff_jax.app.commands.base import Command
from adiff_jax.app.web.limits import PageLimits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serve(PageLimits, Command):
    """Serves a web page for all that the pipeline does: pictures, texts, edits. Needs the extra `web`.

        adiff serve
        ADIFF_SERVE_AUTH=USER:PASSWORD adiff serve --bundle mine --host 0.0.0.0 --port 8080 --max-waiting 20

    Uploads and results are deleted when a page is closed and when the server ends (Ctrl-C). The environment variable
    ADIFF_SERVE_AUTH asks visitors for a user and a password, which travel unencrypted: on a network that others read,
    put a proxy with TLS in front.

    Attributes:
        bundle: directory of a bundle, the name of one in the package, or OWNER/NAME on the Hugging Face hub.
        host: address to listen at; 0.0.0.0 lets other machines in, at this one's name or address.
        port: to listen at; 0 chooses a free one.
        landmark_model: MediaPipe's face_landmarker.task; looked up if not given.
    """

    bundle: str = "synthetic-128"
    host: str = "127.0.0.1"
    port: int = 7860
    landmark_model: Path | None = None

    def run(self) -> None:
        """Serves until it is stopped."""
        try:
            from adiff_jax.app.web.server import serve
        except ModuleNotFoundError as error:
            raise ValueError(f"the web page needs the extra `web` ({error}): pip install 'adiff_jax[web]'") from error

        limits = PageLimits(**{field.name: getattr(self, field.name) for field in dataclasses.fields(PageLimits)})
        serve(
            self.bundle,
            host=self.host,
            port=self.port,
            limits=limits,
            landmark_model=self.landmark_model,
            ready=lambda address: print(f"The page is at {address} (Ctrl-C ends it)", flush=True),
        )
