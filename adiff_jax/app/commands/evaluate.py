"""`adiff evaluate reenact | autoencoder`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from adiff_jax.app.commands.base import Command, Sampling


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateReenact(Sampling):
    """Reenacts and measures: face found, landmarks, mouth, expression, pose, colours; prints the definitions.

        adiff evaluate reenact --source synthetic:7 --driving a.mp4 b.mp4 --max-frames 96 --out evaluation

    Attributes:
        driving: videos with a face, or synthetic:SEED.
        source: a picture with a face, or synthetic:SEED; drawn persons also get the rows of the true picture.
        out: folder for the table (Markdown and JSON) and the plots.
    """

    driving: tuple[str, ...]
    source: str = "synthetic:7"
    out: Path = Path("outputs/evaluation")

    def run(self) -> None:
        """Measures, prints and saves."""
        from adiff_jax.app.evaluation import evaluate_reenactment

        report = evaluate_reenactment(self.open_pipeline(), self.source, self.driving, self.out, self.options())
        print(report.markdown())


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateAutoencoder(Command):
    """Measures the autoencoder's reconstructions of drawn clips that training never saw; prints the definitions.

    Attributes:
        bundle: directory of a bundle, or the name of one in the package.
        clips: number of clips.
        frames: frames of each.
        seed: of the first clip.
        out: folder for the table (Markdown and JSON).
        landmark_model: MediaPipe's face_landmarker.task; looked up if not given.
    """

    bundle: str = "synthetic-128"
    clips: int = 8
    frames: int = 48
    seed: int = 500_000
    out: Path = Path("outputs/evaluation")
    landmark_model: Path | None = None

    def run(self) -> None:
        """Measures, prints and saves."""
        from adiff_jax.app.evaluation import evaluate_autoencoder
        from adiff_jax.app.pipeline import AnchoredDiffusionPipeline

        pipeline = AnchoredDiffusionPipeline.from_pretrained(self.bundle, landmark_model=self.landmark_model)
        seeds = range(self.seed, self.seed + self.clips)
        print(evaluate_autoencoder(pipeline, seeds, self.frames, self.out).markdown())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measures a bundle; definitions are printed with the numbers."""

    what: (
        Annotated[EvaluateReenact, tyro.conf.subcommand("reenact")]
        | Annotated[EvaluateAutoencoder, tyro.conf.subcommand("autoencoder")]
    )

    @property
    def debug(self) -> bool:
        """That of the chosen evaluation."""
        return self.what.debug

    def run(self) -> None:
        """Runs the chosen evaluation."""
        self.what.run()
