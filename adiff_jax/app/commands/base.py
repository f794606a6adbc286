"""What commands share: the options of every command, and those of sampling."""

import dataclasses
from pathlib import Path
from typing import Literal

import tyro

Positional = tyro.conf.Positional
Dealing = Literal["contiguous", "strided", "random", "shifted"]
Share = Literal["first", "mean"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """What every command has.

    Attributes:
        debug: show the traceback of an error.
    """

    debug: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling(Command):
    """Options of sampling.

    Attributes:
        bundle: directory of a bundle, or the name of one in the package.
        steps: denoising steps.
        eta: randomness of the steps: 0 none (DDIM), 1 that of DDPM, which keeps frames alike far better.
        plan: how frames are dealt into groups.
        anchor: how the groups share the anchor frame: the first group's, or the mean over groups.
        guidance_clip: weight of the person's CLIP embedding; 1 is no guidance.
        guidance_landmarks: weight of the landmarks; 1 is no guidance.
        seed: of the noise.
        face: which face of source and driver, from 1, left to right; the largest by default.
        max_frames: use the first frames of the driver only.
        landmark_model: MediaPipe's face_landmarker.task; looked up if not given.
    """

    bundle: str = "synthetic-128"
    steps: int = 50
    eta: float = 1.0
    plan: Dealing = "shifted"
    anchor: Share = "first"
    guidance_clip: float = 1.5
    guidance_landmarks: float = 2.0
    seed: int = 0
    face: int | None = None
    max_frames: int | None = None
    landmark_model: Path | None = None

    def open_pipeline(self):
        """The pipeline of the chosen bundle."""
        from adiff_jax.app.pipeline import AnchoredDiffusionPipeline

        return AnchoredDiffusionPipeline.from_pretrained(self.bundle, landmark_model=self.landmark_model)

    def options(self) -> dict[str, object]:
        """Keyword arguments of `AnchoredDiffusionPipeline.reenact`."""
        same = ("eta", "plan", "anchor", "guidance_clip", "guidance_landmarks", "seed", "face", "max_frames")
        return {"num_inference_steps": self.steps, **{name: getattr(self, name) for name in same}}
