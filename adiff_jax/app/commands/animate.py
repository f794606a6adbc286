"""`adiff animate`."""

import dataclasses

from adiff_jax.app.commands.base import DrivingFile, Making, OutFile, without
from adiff_jax.app.options import TextSamplingOptions


@without("i_have_consent")  # a text is nobody
@dataclasses.dataclass(frozen=True, kw_only=True)
class Animate(TextSamplingOptions, Making):
    """Makes a person, described by a text, move as the face in a video does.

    Writes the same files as reenact.

        adiff animate --text "a woman with long red hair and a green shirt" --driving talk.mp4 --out out.mp4

    Attributes:
        text: what the person looks like.
        driving: a video with a face, or synthetic:SEED for a drawn one.
        out: the video to write, *.mp4.
    """

    text: str
    driving: DrivingFile
    out: OutFile

    def run(self) -> None:
        """Samples and exports."""
        self.make(
            self.out,
            lambda pipeline, **options: pipeline.animate(self.text, self.driving, **options),
            inputs=[self.driving],
        )
