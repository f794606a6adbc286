"""What the transformers share: layers with logical axis names, stacked blocks, fixed encodings."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adiff_jax.models.axes import BATCH, EMBED, HIDDEN, LAYERS
from adiff_jax.models.gather import gather
from adiff_jax.models.platform import platform

Initializer = Callable[..., Any]


class Linear(nn.Module):
    """Affine map of the last `len(axis)` axes to `features`, with logical names for the axes of its kernel.

    Attributes:
        features: sizes of the output axes.
        axes: logical names of the kernel's axes: the contracted ones, then one each for `features`.
        use_bias: add a bias.
        kernel_init: initialiser of the kernel, which it sees as a matrix.
        dtype: type of the computation.
        param_dtype: type of the parameters.
    """

    features: Sequence[int]
    axes: Sequence[str | None]
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.xavier_uniform()
    dtype: str = "float32"
    param_dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        contracted = len(self.axes) - len(self.features)
        features, axes = tuple(self.features), tuple(self.axes)
        inputs = x.shape[x.ndim - contracted :]
        rows, columns = int(np.prod(inputs)), int(np.prod(features))

        def kernel_init(key, shape, dtype):
            return self.kernel_init(key, (rows, columns), dtype).reshape(shape)

        kernel = self.param(
            "kernel", nn.with_logical_partitioning(kernel_init, axes), (*inputs, *features), self.param_dtype
        )
        x = x.reshape(*x.shape[: x.ndim - contracted], rows).astype(self.dtype)
        y = matmul(x, gather(kernel.astype(self.dtype), axes).reshape(rows, columns))
        if self.use_bias:
            bias_init = nn.with_logical_partitioning(nn.initializers.zeros_init(), axes[contracted:])
            bias = self.param("bias", bias_init, features, self.param_dtype)
            y = y + bias.astype(self.dtype).reshape(columns)
        return y.reshape(*y.shape[:-1], *features)


def matmul(x: Float[Array, "*B D"], kernel: Float[Array, "D D2"]) -> Float[Array, "*B D2"]:
    """`x @ kernel`.

    In the kernel's gradient a CPU would copy `x` to bring its first axes together. They are merged there; elsewhere
    they stay apart, since each may be divided among devices.
    """
    if platform() != "cpu":
        return x @ kernel
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], -1)


class MLP(nn.Module):
    """Two linear layers with an activation between them: `fc1`, `fc2`."""

    hidden: int
    features: int
    activation: Callable[[Array], Array]
    kernel_inits: tuple[Initializer, Initializer] = (nn.initializers.xavier_uniform(),) * 2
    dtype: str = "float32"
    param_dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D2"]:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = Linear((self.hidden,), (EMBED, HIDDEN), kernel_init=self.kernel_inits[0], name="fc1", **types)(x)
        x = self.activation(x)
        x = nn.with_logical_constraint(x, (BATCH, *(None,) * (x.ndim - 2), HIDDEN))
        return Linear((self.features,), (HIDDEN, EMBED), kernel_init=self.kernel_inits[1], name="fc2", **types)(x)


# What rematerialised layers keep for the backward pass besides their inputs.
REMAT_POLICIES = {
    "full": None,  # nothing: the least memory, a third more time
    "products": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,  # products with weights, not attention's own
}


def stack_layers(
    block: type[nn.Module], depth: int, *, unroll: bool, remat: bool = False, remat_policy: str = "full"
) -> type[nn.Module]:
    """`depth` copies of `block` one after the other, parameters stacked along a leading axis.

    `block` takes (x, *constants) and returns (x, None), as `nn.scan` wants it.

    Args:
        block: class of the layer.
        depth: number of layers.
        unroll: compile every layer by itself, faster to run and slower to compile than one loop; the parameters are
            the same either way.
        remat: compute the layers again in the backward pass.
        remat_policy: what is kept besides their inputs, one of `REMAT_POLICIES`.

    Raises:
        ValueError: the policy is unknown.
    """
    if remat_policy not in REMAT_POLICIES:
        raise ValueError(f"remat_policy {remat_policy!r} is none of {', '.join(REMAT_POLICIES)}")
    if remat:
        # Inside a loop nothing can be merged with the forward pass.
        block = nn.remat(block, prevent_cse=unroll, policy=REMAT_POLICIES[remat_policy])
    return nn.scan(
        block,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=nn.broadcast,
        length=depth,
        unroll=depth if unroll else 1,
        metadata_params={nn.PARTITION_NAME: LAYERS},
    )


def layer_norm(x: Float[Array, "*B D"], epsilon: float = 1e-6) -> Float[Array, "*B D"]:
    """Layer norm without parameters over the last axis, computed and returned in float32."""
    x = x.astype(jnp.float32)
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + epsilon)


def modulate(
    x: Float[Array, "*B D"], shift: Float[Array, "*#B D"], scale: Float[Array, "*#B D"]
) -> Float[Array, "*B D"]:
    """DiT's modulation, `x * (1 + scale) + shift`."""
    return x * (1 + scale) + shift


def timestep_embedding(t: Float[Array, "B"], dimension: int, max_period: float = 10_000.0) -> Float[Array, "B D"]:
    """DiT's sinusoids of diffusion times: cosines, then sines, of frequencies from 1 down to 1 / `max_period`."""
    half = dimension // 2
    frequencies = jnp.exp(-jnp.log(max_period) * jnp.arange(half, dtype=jnp.float32) / half)
    angles = t.astype(jnp.float32)[:, None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def sincos_1d(positions: np.ndarray, dimension: int) -> Float[np.ndarray, "N D"]:
    """Fixed encoding of positions: sines, then cosines, of `dimension / 2` frequencies from 1 down to 1/10000."""
    frequencies = 10_000.0 ** (-np.arange(dimension // 2, dtype=np.float64) / (dimension / 2))
    angles = np.asarray(positions, np.float64).reshape(-1, 1) * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1).astype(np.float32)


def sincos_2d(height: int, width: int, dimension: int) -> Float[np.ndarray, "T D"]:
    """Fixed encoding of a grid in row-major order: half of the channels for the column, half for the row, as in DiT."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.concatenate([sincos_1d(columns, dimension // 2), sincos_1d(rows, dimension // 2)], axis=-1)
