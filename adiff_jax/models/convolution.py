"""Convolutions that are fast on every backend; the functions and parameters are those of `flax.linen.Conv`.

XLA's CPU backend runs a small convolution near the machine's peak, forward and towards its input, but the gradient of
the kernel at a fifth to a half of it. One matrix product a kernel tap brings that gradient up to the others.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


class Conv(nn.Module):
    """Two-dimensional convolution with bias; padding is given as pixels ((above, below), (left, right))."""

    features: int
    kernel_size: int = 3
    stride: int = 1
    padding: tuple[tuple[int, int], tuple[int, int]] = ((1, 1), (1, 1))
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: str = "float32"
    param_dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H2 W2 C2"]:
        kernel, bias = _parameters(self, x.shape[-1])
        return convolve(x.astype(self.dtype), kernel, self.stride, self.padding) + bias


class UpsampleConv(nn.Module):
    """Nearest-neighbour doubling of height and width, then a 3 x 3 convolution, without making the doubled picture.

    Doubled pixels are equal, so the taps that fall on the same one are added: each of the four output phases is a 2 x 2
    convolution of the small picture, 16 products a pixel instead of 36.
    """

    features: int
    kernel_size: int = 3
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: str = "float32"
    param_dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 2*H 2*W C2"]:
        kernel, bias = _parameters(self, x.shape[-1])
        x = x.astype(self.dtype)
        rows = []
        for row_kernel, row_padding in _phases(kernel, axis=0):
            columns = [
                convolve(x, column_kernel, 1, (row_padding, column_padding))
                for column_kernel, column_padding in _phases(row_kernel, axis=1)
            ]
            rows.append(jnp.stack(columns, axis=3))
        batch, height, width, _ = x.shape
        return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, self.features) + bias


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(
    x: Float[Array, "B H W C"],
    kernel: Float[Array, "kh kw C C2"],
    stride: int,
    padding: tuple[tuple[int, int], tuple[int, int]],
) -> Float[Array, "B H2 W2 C2"]:
    """Cross-correlation of `x` with `kernel`, with a gradient of the kernel that suits the backend."""
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=DIMENSIONS)


def _convolve_forward(x, kernel, stride, padding):
    return convolve(x, kernel, stride, padding), (x, kernel)


def _convolve_backward(stride, padding, residuals, gradient):
    x, kernel = residuals

    def apply(x, kernel):
        return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=DIMENSIONS)

    def by_transposition(x, gradient):
        return jax.linear_transpose(lambda kernel: apply(x, kernel), kernel)(gradient)[0]

    def by_taps(x, gradient):
        x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
        batch, height, width, _ = gradient.shape
        extent = ((height - 1) * stride + 1, (width - 1) * stride + 1)

        def tap(i, j):
            stop = (batch, i + extent[0], j + extent[1], x.shape[-1])
            window = lax.slice(x, (0, i, j, 0), stop, (1, stride, stride, 1))
            # Flat, since a CPU copies what it is to sum over several axes.
            return window.reshape(-1, window.shape[-1]).T @ gradient.reshape(-1, gradient.shape[-1])

        return jnp.stack([jnp.stack([tap(i, j) for j in range(kernel.shape[1])]) for i in range(kernel.shape[0])])

    (gradient_x,) = jax.linear_transpose(lambda x: apply(x, kernel), x)(gradient)
    return gradient_x, lax.platform_dependent(x, gradient, cpu=by_taps, default=by_transposition)


convolve.defvjp(_convolve_forward, _convolve_backward)


def _parameters(module, in_features):
    """Kernel [kh, kw, in, out] and bias [out] of a convolution, in the type of its computation."""
    shape = (module.kernel_size, module.kernel_size, in_features, module.features)
    kernel = module.param("kernel", module.kernel_init, shape, module.param_dtype)
    bias = module.param("bias", nn.initializers.zeros_init(), (module.features,), module.param_dtype)
    return kernel.astype(module.dtype), bias.astype(module.dtype)


def _phases(kernel, axis):
    """The two-tap kernels, with their padding, of the even and the odd output positions along `axis`."""
    first, second, third = jnp.split(kernel, 3, axis)
    even = jnp.concatenate([first, second + third], axis)
    odd = jnp.concatenate([first + second, third], axis)
    return (even, (1, 0)), (odd, (0, 1))
