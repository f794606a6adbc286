"""`adiff verify`."""

import dataclasses
import textwrap
from pathlib import Path
from typing import Annotated

from adiff_jax.app.commands.base import Command, Positional


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verify(Command):
    """Tells what a video or picture says of itself, and whether it was changed since it was signed.

    Exit code 0: unchanged since it was signed; 1: changed, not signed, or the signature does not count.

        adiff verify out.mp4

    Attributes:
        file: an MP4, a PNG, or another file that can carry a C2PA manifest.
        trust: root certificates (PEM) to trust beside this machine's own key.
    """

    file: Annotated[Path, Positional]
    trust: Path | None = None

    def run(self) -> int:
        """Checks and prints."""
        from adiff_jax.app.manifest import read_manifest
        from adiff_jax.media.comments import read_comment

        report = read_manifest(self.file, self.trust.read_bytes() if self.trust else None)
        print(f"{self.file}: {report.headline()}")
        lines = report.lines()
        if report.status != "unchanged" and (comment := read_comment(self.file)):
            lines.append(f'its comment, which anyone can write, says: "{comment}"')
        for line in lines:
            print(textwrap.indent(printable(line), "  "))
        return 0 if report.status == "unchanged" else 1


def printable(text: str) -> str:
    """The text as it is safe to print: what a file says may hold codes that a terminal obeys."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
