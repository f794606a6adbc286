"""Scaled dot-product attention by the kernel that suits platform and shape; all are equal in value and gradient."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from adiff_jax.models.platform import platform

AUTO = "auto"
KERNELS = (AUTO, "xla", "by_head", "cudnn", "splash")

CPU_CACHED_TOKENS = 128  # from which on a CPU is faster head by head, as measured
TPU_LANES = 128
CUDNN_HEAD_DIM = 128  # at most; 256 on some GPUs alone


def attention(
    query: Float[Array, "B N heads d"],
    key: Float[Array, "B M heads d"],
    value: Float[Array, "B M heads d"],
    mask: Bool[Array, "N M"] | None = None,
    kernel: str = AUTO,
) -> Float[Array, "B N heads d"]:
    """Softmax in float32 of query times key over the root of `d`; where `mask` is False, a query does not see a key.

    Args:
        query: one vector a token and head, as `key` and `value`.
        key: see `query`.
        value: see `query`.
        mask: None if every query sees every key.
        kernel: `auto` is the fastest that runs on the platform with these shapes, one of

            - `xla`: the reference, for any platform;
            - `by_head`: one head after the other, weights computed again in the backward pass, so that they stay in a
              CPU's cache;
            - `cudnn`: flash attention of NVIDIA's library, on GPUs;
            - `splash`: flash attention in Pallas, on TPUs; anywhere else it is interpreted, slowly. It has no mask.

    Raises:
        ValueError: the kernel is unknown, or cannot run with these shapes or on this platform.
    """
    if kernel == AUTO:
        kernel = best_kernel(platform(), query, key, mask)
    match kernel:
        case "xla":
            return jax.nn.dot_product_attention(query, key, value, mask=mask, implementation="xla")
        case "by_head":
            return _by_head(query, key, value, mask)
        case "cudnn":
            if platform() != "gpu":
                raise ValueError(f"attention kernel cudnn runs on GPUs, not on {platform()}: choose auto")
            return jax.nn.dot_product_attention(query, key, value, mask=mask, implementation="cudnn")
        case "splash":
            if mask is not None or not _splash_fits(query, key):
                raise ValueError(
                    f"attention kernel splash takes multiples of {TPU_LANES} tokens without a mask, not "
                    f"{query.shape[1]} and {key.shape[1]} tokens{' with one' if mask is not None else ''}: choose auto"
                )
            from adiff_jax.models.splash import splash_attention  # Pallas takes most of a second to import

            return splash_attention(query, key, value, interpret=platform() != "tpu")
        case _:
            raise ValueError(f"attention kernel {kernel!r} is none of {', '.join(KERNELS)}")


def best_kernel(platform: str, query: Any, key: Any, mask: Any = None) -> str:
    """The fastest kernel on `platform` for arrays of these shapes and types."""
    match platform:
        case "cpu":
            return "by_head" if key.shape[1] >= CPU_CACHED_TOKENS else "xla"
        case "gpu":
            half, dim = query.dtype.itemsize == 2, query.shape[-1]
            return "cudnn" if half and mask is None and dim % 8 == 0 and dim <= CUDNN_HEAD_DIM else "xla"
        case "tpu":
            return "splash" if mask is None and _splash_fits(query, key) else "xla"
        case _:
            return "xla"


def _splash_fits(query, key):
    return query.shape[1] % TPU_LANES == 0 and key.shape[1] % TPU_LANES == 0


def _by_head(query, key, value, mask):
    batch, _, heads, dim = query.shape

    @jax.checkpoint
    def head(arrays):
        query, key, value = arrays
        logits = jnp.einsum("nd,md->nm", query * dim**-0.5, key, preferred_element_type=jnp.float32)
        if mask is not None:
            logits = jnp.where(mask, logits, -jnp.inf)
        weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True)))
        total = weights.sum(axis=-1, keepdims=True)
        y = jnp.einsum("nm,md->nd", weights.astype(value.dtype), value, preferred_element_type=jnp.float32)
        return (y / total).astype(value.dtype)

    by_head = (x.swapaxes(1, 2).reshape(batch * heads, -1, dim) for x in (query, key, value))
    y = jax.lax.map(head, tuple(by_head))
    return y.reshape(batch, heads, -1, dim).swapaxes(1, 2)
