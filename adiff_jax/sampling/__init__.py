"""From noise to latents: solvers, the sampling loop, anchored sampling of long videos and its baselines."""

from adiff_jax.sampling.anchored import Share, anchored
from adiff_jax.sampling.baselines import independent, multidiffusion
from adiff_jax.sampling.groups import Dealing, Plan, anchored_plan
from adiff_jax.sampling.loop import Spacing, VideoDenoiser, sample, timesteps
from adiff_jax.sampling.steps import DDIM, DDPM, DPMSolverPlusPlus2M, Solver

__all__ = [
    "DDIM",
    "DDPM",
    "DPMSolverPlusPlus2M",
    "Dealing",
    "Plan",
    "Share",
    "Solver",
    "Spacing",
    "VideoDenoiser",
    "anchored",
    "anchored_plan",
    "independent",
    "multidiffusion",
    "sample",
    "timesteps",
]
