"""What anchored sampling is compared with: MultiDiffusion and independent groups."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from adiff_jax.sampling.groups import Plan, by_groups, denoise_groups, pack
from adiff_jax.sampling.loop import VideoDenoiser
from adiff_jax.types import Conditioning, Denoiser


def multidiffusion(
    denoiser: Denoiser,
    cond: Conditioning,
    group_size: int,
    overlap: int,
    group_batch: int | None = None,
) -> VideoDenoiser:
    """MultiDiffusion over time (Bar-Tal et al. 2023, eq. 5; Lumiere 2024): overlapping windows, averaged.

    Windows of `group_size` adjacent frames start every `group_size - overlap` frames, the last one at the end of the
    video. Averaging predictions is averaging the latents after the step, since solvers are affine in the prediction.

    Raises:
        ValueError: if the overlap is not within 0 and `group_size` - 1.
    """
    if not 0 <= overlap < group_size:
        raise ValueError(f"overlap must be within 0 and {group_size - 1}, not {overlap}")
    num_frames = cond.landmarks.shape[1]
    size = min(group_size, num_frames)
    starts = np.append(np.arange(0, num_frames - size, group_size - overlap), num_frames - size)
    windows = starts[:, None] + np.arange(size)
    counts = np.bincount(windows.ravel(), minlength=num_frames)

    def denoise(z_t: Float[Array, "F h w c"], t: Float[Array, ""], step: Int[Array, ""]) -> Float[Array, "F h w c"]:
        predictions = denoise_groups(denoiser, cond, z_t, t, jnp.asarray(windows), group_batch)
        return jnp.zeros_like(z_t).at[windows].add(predictions) / counts[:, None, None, None]

    return denoise


def independent(
    denoiser: Denoiser, cond: Conditioning, group_size: int, group_batch: int | None = None
) -> VideoDenoiser:
    """Groups of adjacent frames that share nothing; of one group, plain sampling of a short video.

    Sizes of groups differ by at most one; short ones repeat their last frame.
    """
    num_frames = cond.landmarks.shape[1]
    size = min(group_size, num_frames)
    plan = Plan.create(pack(np.array_split(np.arange(num_frames), -(-num_frames // size)), size)[None])
    return by_groups(denoiser, cond, plan, group_batch)
