"""`adiff data info|verify|show DIR`: what is in a folder of records."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from adiff_jax.app.commands.base import Command, Positional


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataCommand(Command):
    """What these commands have.

    Attributes:
        folder: a folder of records, or its address (gs://, s3://).
    """

    folder: Annotated[str, Positional]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataInfo(DataCommand):
    """Prints what a folder of records holds: sizes from its manifest, fields of its first record, its report."""

    def run(self) -> None:
        """Prints."""
        from adiff_jax.app.collections import describe

        print(describe(self.folder))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataVerify(DataCommand):
    """Checks every shard against the manifest's SHA-256, and that every record in it can be read."""

    def run(self) -> None:
        """Checks, and prints what was."""
        from adiff_jax.app.collections import verify_records
        from adiff_jax.app.progress import progress_bar

        with progress_bar("checking", "clips") as progress:
            manifest = verify_records(self.folder, progress)
        print(f"{self.folder}: {len(manifest.shards)} shards, {manifest.clips} clips, all as they were written")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataShow(DataCommand):
    """Draws a contact sheet: some frames of some clips, each with its landmarks beside it.

        adiff data show records --out sheet.png

    Attributes:
        out: the picture to write.
        clips: how many clips are shown, a row each, spread over the whole folder.
        frames: how many frames of each.
        landmarks: every other row shows the landmarks; --no-landmarks shows the pictures alone.
    """

    out: Path = Path("contact_sheet.png")
    clips: int = 16
    frames: int = 8
    landmarks: bool = True

    def run(self) -> None:
        """Draws, and names the clips from top to bottom."""
        from adiff_jax.app.collections import draw_records
        from adiff_jax.media.pictures import write_picture

        sheet, names = draw_records(self.folder, self.clips, self.frames, self.landmarks)
        write_picture(self.out, sheet)
        print("\n".join([str(self.out), *names]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Looks at prepared records."""

    what: (
        Annotated[DataInfo, tyro.conf.subcommand("info")]
        | Annotated[DataVerify, tyro.conf.subcommand("verify")]
        | Annotated[DataShow, tyro.conf.subcommand("show")]
    )

    @property
    def debug(self) -> bool:
        """That of the chosen command."""
        return self.what.debug

    def run(self) -> None:
        """Runs the chosen command."""
        self.what.run()
