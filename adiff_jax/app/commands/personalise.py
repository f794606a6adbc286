"""`adiff personalise`: a bundle of one's own."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

from adiff_jax.app.commands.base import Command, Positional
from adiff_jax.app.personal.options import PersonaliseOptions
from adiff_jax.train import STOPPED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Personalise(PersonaliseOptions, Command):
    """Trains a bundle further on clips of one person, on this machine, and tests it on frames it has not seen.

        adiff personalise me.mp4 --out mine
        adiff personalise talk1.mp4 talk2.mp4 --out mine --minutes 60
        adiff reenact --bundle mine --source me.jpg --driving other.mp4 --out out.mp4

    The end of each clip is kept for the test: it is reenacted, and compared with the true frames, beside the bundle
    before and the nearest frames of the training. While it trains, pictures appear in WORKDIR/previews. Stop it with
    Ctrl-C, and run the same command again to go on.

    Attributes:
        clips: videos of the person, half a minute or more in all, in one light and dress.
        out: directory to make for the bundle.
        bundle: the one to begin with: a directory, the name of one in the package, or OWNER/NAME on the Hugging Face
            hub.
        workdir: folder for everything on the way; OUT.work if not given.
        i_have_consent: the person in the clips agreed; you are asked if you do not say so.
        landmark_model: MediaPipe's face_landmarker.task; looked up if not given.
    """

    clips: Annotated[tuple[Path, ...], Positional]
    out: Path
    bundle: str = "synthetic-128"
    workdir: Path | None = None
    i_have_consent: bool = False
    landmark_model: Path | None = None

    def run(self) -> int | None:
        """Trains, tests, prints the comparison and where the bundle is."""
        from adiff_jax.app.marking import MarkingOptions
        from adiff_jax.app.personal.rounds import Stopped
        from adiff_jax.app.personal.run import personalise

        for clip in self.clips:
            MarkingOptions(i_have_consent=self.i_have_consent).consent(clip)
        options = PersonaliseOptions(
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(PersonaliseOptions)}
        )
        workdir = self.workdir or self.out.with_name(self.out.name + ".work")
        try:
            report = personalise(
                self.clips,
                self.out,
                self.bundle,
                workdir,
                options,
                landmark_model=self.landmark_model,
                tell=lambda line: print(line, file=sys.stderr, flush=True),
            )
        except Stopped:
            print(f"stopped; run the same command again to go on with {workdir}", file=sys.stderr)
            return STOPPED
        print(report.markdown())
        print(f"{self.out}: pictures in {self.out / 'comparison.png'}")
        return None
