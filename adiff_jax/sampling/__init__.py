"""From noise to latents: solvers, the sampling loop, anchored sampling of long videos and its baselines."""

from adiff_jax.sampling.anchored import Share, anchored
from adiff_jax.sampling.baselines import independent, multidiffusion
from adiff_jax.sampling.chunks import Chunk, anchored_chunks, autoregressive_chunks, independent_chunks
from adiff_jax.sampling.groups import Dealing, Plan, anchored_plan
from adiff_jax.sampling.loop import Given, Spacing, VideoDenoiser, karras_timesteps, sample, sample_keeping, timesteps
from adiff_jax.sampling.steps import DDIM, DDPM, DPMSolverPlusPlus2M, Solver
from adiff_jax.sampling.streaming import sample_chunk

__all__ = [
    "DDIM",
    "DDPM",
    "Chunk",
    "DPMSolverPlusPlus2M",
    "Dealing",
    "Given",
    "Plan",
    "Share",
    "Solver",
    "Spacing",
    "VideoDenoiser",
    "anchored",
    "anchored_chunks",
    "anchored_plan",
    "autoregressive_chunks",
    "independent",
    "independent_chunks",
    "karras_timesteps",
    "multidiffusion",
    "sample",
    "sample_chunk",
    "sample_keeping",
    "timesteps",
]
