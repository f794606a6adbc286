"""`adiff reenact` and `adiff demo`."""

import dataclasses
from pathlib import Path

from adiff_jax.app.commands.base import Making


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reenact(Making):
    """Makes the person in a picture move as the face in a video does.

    Writes OUT.mp4 with the driver's frames, frame rate and sound, OUT.side_by_side.mp4 and OUT.contact_sheet.png.

        adiff reenact --source portrait.jpg --driving talk.mp4 --out out.mp4

    Attributes:
        source: a picture with a face, or synthetic:SEED for a drawn person.
        driving: a video with a face, or synthetic:SEED for a drawn one.
        out: the video to write, *.mp4.
    """

    source: str
    driving: str
    out: Path

    def run(self) -> None:
        """Samples and exports."""
        self.make(
            self.out,
            lambda pipeline, **options: pipeline.reenact(self.source, self.driving, **options),
            person=self.source,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demo(Reenact):
    """Reenacts a drawn person with what is in the package: no picture, no video, no network.

    adiff demo
    adiff demo --driving talk.mp4
    """

    source: str = "synthetic:7"
    driving: str = "synthetic:12"
    out: Path = Path("demo.mp4")
