"""The options of sampling: their one definition, for the command line and for the Python API.

Imports nothing heavy, so that `adiff --help` is quick.
"""

import dataclasses
from typing import Annotated, Literal, get_args

import tyro

Method = Literal["anchored", "multidiffusion", "independent", "autoregressive"]
Dealing = Literal["contiguous", "strided", "random", "shifted"]
Share = Literal["first", "mean"]
SolverName = Literal["ddim", "ddpm", "dpm++"]
Spacing = Literal["trailing", "leading", "linspace", "karras"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How a video is sampled.

    Attributes:
        num_inference_steps: denoising steps.
        solver: how they are taken: ddim, ddpm, or dpm++ (DPM-Solver++ 2M, for few steps).
        eta: randomness of the steps of ddim and dpm++: 0 none, 1 that of DDPM, which keeps frames alike far better.
        spacing: which noise levels the steps visit.
        guidance_clip: weight of the person's CLIP embedding; 1 is no guidance.
        guidance_landmarks: weight of the landmarks; 1 is no guidance.
        guidance_interval: noise levels at which guidance acts, as fractions of training's steps; others cost less. At
            the highest, where colours are settled, it would lead away from the person.
        method: how a video longer than the model's sequences is put together: anchored, or what it is compared with.
        plan: how anchored sampling deals frames into groups.
        anchor: how anchored groups share the anchor frame: the first group's, or the mean over groups.
        anchor_frame: number of the anchor frame, from 0, where the source is not pinned; the middle frame by default.
        overlap: frames that windows of multidiffusion, or segments of autoregressive, have in common.
        group_batch: groups denoised at once, which bounds memory: a long video is made in chunks of as many.
        seed: of the noise.
    """

    num_inference_steps: Annotated[int, tyro.conf.arg(name="steps")] = 16
    solver: SolverName = "ddim"
    eta: float = 1.0
    spacing: Spacing = "trailing"
    guidance_clip: float = 1.5
    guidance_landmarks: float = 2.0
    guidance_interval: tuple[float, float] = (0.0, 0.7)
    method: Method = "anchored"
    plan: Dealing = "shifted"
    anchor: Share = "first"
    anchor_frame: int | None = None
    overlap: int = 1
    group_batch: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {"solver": SolverName, "spacing": Spacing, "method": Method, "plan": Dealing, "anchor": Share}
        for name, allowed in choices.items():
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(
                    f"unknown {name} {getattr(self, name)!r}: choose one of {', '.join(get_args(allowed))}"
                )
        if self.num_inference_steps < 1:
            raise ValueError(f"num_inference_steps must be at least 1, not {self.num_inference_steps}")
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta must be within 0 and 1, not {self.eta}")
        low, high = self.guidance_interval
        if not 0 <= low <= high <= 1:
            raise ValueError(f"guidance_interval must be two rising fractions within 0 and 1, not {low} and {high}")
        if self.group_batch < 1:
            raise ValueError(f"group_batch must be at least 1, not {self.group_batch}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be within 0 and {2**32 - 1}, not {self.seed}")
        if self.overlap < 0:
            raise ValueError(f"overlap must not be negative, but is {self.overlap}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSamplingOptions(SamplingOptions):
    """How a video is sampled whose person a text describes or changes.

    Attributes:
        guidance_clip: weight of what the text says; 1 is no guidance.
        guidance_interval: noise levels at which guidance acts, as fractions of training's steps. The highest settle
            colours, which texts are about.
    """

    guidance_clip: float = 4.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EditOptions:
    """How far an edit goes.

    Attributes:
        text_strength: how far the person is moved from the one text to the other.
        strength: how much noise the video is made anew from: 1 keeps only motion and person, near 0 nearly everything.
    """

    text_strength: float = 2.0
    strength: float = 0.9
