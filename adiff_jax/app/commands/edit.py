"""`adiff edit`."""

import dataclasses
from typing import Annotated

from adiff_jax.app.commands.base import Making, OutFile, Positional
from adiff_jax.app.options import EditOptions, TextSamplingOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edit(EditOptions, TextSamplingOptions, Making):
    """Changes the person in a video towards a text; motion, and what the text leaves open, stay.

    Writes the same files as reenact.

        adiff edit talk.mp4 --text "a woman with black hair" --origin "a woman with red hair" --out out.mp4

    Attributes:
        video: a video with a face, or synthetic:SEED for a drawn one.
        text: what the result shows.
        origin: what the video shows, in words like the text's; the change is from it to the text. All texts' mean if
            not given.
        out: the video to write, *.mp4.
    """

    video: Annotated[str, Positional]
    text: str
    origin: str | None = None
    out: OutFile

    def run(self) -> None:
        """Samples and exports."""
        changes = {"origin": self.origin, "prompt_strength": self.text_strength, "strength": self.strength}
        self.make(
            self.out,
            lambda pipeline, **options: pipeline.edit(self.video, self.text, **changes, **options),
            inputs=[self.video],
            person=self.video,
        )
