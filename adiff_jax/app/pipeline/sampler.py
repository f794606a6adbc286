"""Latents of a video, sampled when they are asked for."""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Key

from adiff_jax.app.options import SamplingOptions
from adiff_jax.app.progress import Progress, listening, tell
from adiff_jax.diffusion.guidance import guided
from adiff_jax.diffusion.process import Process
from adiff_jax.models.sdit import SDiT, SDiTConfig
from adiff_jax.sampling.anchored import anchored
from adiff_jax.sampling.baselines import independent, multidiffusion
from adiff_jax.sampling.groups import anchored_plan
from adiff_jax.sampling.loop import sample, steps_taken
from adiff_jax.sampling.steps import DDIM, DDPM, DPMSolverPlusPlus2M, Solver
from adiff_jax.types import Conditioning
from adiff_jax.weights.bundle import Bundle
from adiff_jax.weights.tensors import Params


@dataclasses.dataclass(frozen=True)
class Latents:
    """An iterable of the latents of a video's frames, in order, in parts."""

    bundle: Bundle
    settings: SamplingOptions
    embedding: Float[Array, "E"]
    landmarks: Float32[np.ndarray, "F K 2"]
    progress: Progress | None
    start: Float[Array, "F h w c"] | None
    strength: float

    def __iter__(self) -> Iterator[Float[Array, "F h w c"]]:
        yield self._all

    @functools.cached_property
    def _all(self) -> Float[Array, "F h w c"]:
        settings, bundle = self.settings, self.bundle
        run = functools.partial(
            _sample,
            bundle.sdit,
            bundle.sdit_params,
            bundle.process,
            jax.random.key(settings.seed),
            self.embedding,
            jnp.asarray(self.landmarks),
            self.start,
            settings=dataclasses.replace(settings, seed=0),
            strength=self.strength,
        )
        if self.progress is None:
            return run()
        steps, progress = steps_taken(settings.num_inference_steps, self.strength), self.progress
        progress(0, steps)
        with listening(lambda step: progress(step + 1, steps)) as listener:
            return run(listener=listener)


def solver_of(settings: SamplingOptions) -> Solver:
    """The solver that the options name."""
    match settings.solver:
        case "ddim":
            return DDIM(settings.eta)
        case "ddpm":
            return DDPM()
        case "dpm++":
            return DPMSolverPlusPlus2M(settings.eta)


@functools.partial(jax.jit, static_argnames=("config", "settings", "strength"))
def _sample(
    config: SDiTConfig,
    params: Params,
    process: Process,
    key: Key[Array, ""],
    embedding: Float[Array, "E"],
    landmarks: Float[Array, "F K 2"],
    start: Float[Array, "F h w c"] | None,
    *,
    settings: SamplingOptions,
    strength: float,
    listener: Int[Array, ""] | None = None,
) -> Float[Array, "F h w c"]:
    denoiser = guided(
        lambda z_t, t, cond: SDiT(config).apply({"params": params}, z_t, t, cond),
        settings.guidance_clip,
        settings.guidance_landmarks,
        settings.guidance_interval,
        process.schedule.num_steps,
    )
    cond = Conditioning.create(embedding[None], landmarks[None])
    batch = settings.group_batch
    match settings.method:
        case "anchored":
            plan = anchored_plan(settings.plan, len(landmarks), config.num_frames, seed=settings.seed)
            video_denoiser = anchored(denoiser, cond, plan, settings.anchor, batch)
        case "multidiffusion":
            video_denoiser = multidiffusion(denoiser, cond, config.num_frames, settings.overlap, batch)
        case "independent":
            video_denoiser = independent(denoiser, cond, config.num_frames, batch)
    return sample(
        video_denoiser,
        process,
        key,
        (len(landmarks), config.input_size, config.input_size, config.in_channels),
        steps=settings.num_inference_steps,
        solver=solver_of(settings),
        spacing=settings.spacing,
        start=start,
        strength=strength,
        on_step_end=None if listener is None else functools.partial(tell, listener),
    )
