"""The sampling of one chunk of a long video, or of several side by side on the devices of a mesh; see `chunks`."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from adiff_jax.diffusion.process import Process
from adiff_jax.sampling.chunks import Chunk
from adiff_jax.sampling.groups import by_groups
from adiff_jax.sampling.loop import Given, sample_keeping
from adiff_jax.types import Conditioning, Denoiser


def sample_chunk(
    denoiser: Denoiser,
    process: Process,
    key: Key[Array, ""],
    cond: Conditioning,
    chunk: Chunk,
    known: Float[Array, "N K h w c"],
    shape: tuple[int, int, int],
    *,
    given: Given | None = None,
    axis: str | None = None,
    **options: Any,
) -> tuple[Float[Array, "M h w c"], Float[Array, "N K h w c"]]:
    """Samples one chunk; pure, and one compiled program for all chunks of a video.

    Args:
        denoiser: predicts for groups.
        process: the diffusion process it was trained with.
        key: root of all randomness, the same for all chunks.
        cond: of the chunk's frames as one sequence: B = 1, S = M.
        chunk: which frames, in which groups.
        known: latents of the chunk's first K frames before each of the N steps, as the chunk before kept them. Those
            that are not `told` do not count.
        shape: of a latent, (h, w, c).
        given: frames that are known for good.
        axis: name of the mesh axis along which chunks that follow each other are sampled side by side, inside
            `jax.shard_map`. Each step then carries from device to device what else is kept: the anchor's latent, from
            the first to all, and the border's, from each to the next. Only the first device is told what is `known`.
        options: of the loop: steps, solver, spacing, start ...; see `loop.sample_keeping`.

    Returns:
        The latents of the chunk's frames, and what the next chunk is told.
    """
    size = chunk.told.shape[0]

    def impose(z_t: Float[Array, "M h w c"], step: Int[Array, ""]) -> Float[Array, "M h w c"]:
        told, first = chunk.told[:, None, None, None], True
        if axis is not None:
            first = jax.lax.axis_index(axis) == 0
        z_t = z_t.at[:size].set(jnp.where(told & first, known[step], z_t[:size]))
        if axis is None or not size:
            return z_t
        passed = jnp.concatenate([_from_first(z_t[:1], axis), _from_before(z_t[chunk.keep[1:]], axis)])
        return z_t.at[:size].set(jnp.where(told & ~first, passed, z_t[:size]))

    return sample_keeping(
        by_groups(denoiser, cond, chunk.plan),
        process,
        key,
        (chunk.frames.shape[0], *shape),
        frames=chunk.frames,
        given=given,
        impose=impose if size else None,
        keep=chunk.keep,
        **options,
    )


def _from_first(z: Float[Array, "1 h w c"], axis: str) -> Float[Array, "1 h w c"]:
    """The first device's latents, on all devices."""
    return jax.lax.psum(jnp.where(jax.lax.axis_index(axis) == 0, z, 0), axis)


def _from_before(z: Float[Array, "P h w c"], axis: str) -> Float[Array, "P h w c"]:
    """The latents of the device before, on each device."""
    if not len(z):
        return z
    size = jax.lax.axis_size(axis)
    return jax.lax.ppermute(z, axis, [(device, device + 1) for device in range(size - 1)])
