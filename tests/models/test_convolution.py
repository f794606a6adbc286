"""Our convolutions are Linen's, in value and gradient."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.models.convolution import Conv, UpsampleConv


def assert_same(ours, reference, x):
    """Equal outputs, and gradients towards input and parameters, for the parameters of `ours`."""
    params = ours.init(jax.random.key(1), x)
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)

    def loss(apply):
        return jax.jit(jax.value_and_grad(lambda params, x: jnp.sum(jnp.sin(apply(params, x))), (0, 1)))

    result, expected = loss(ours.apply)(params, x), loss(reference)(params, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), result, expected)  # sums of 100s


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(3, 1, ((1, 1), (1, 1))), (3, 2, ((0, 1), (0, 1))), (1, 1, ((0, 0), (0, 0))), (3, 2, ((1, 1), (1, 0)))],
)
@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
def test_conv(kernel, stride, padding, size):
    x = jax.random.normal(jax.random.key(0), (2, *size, 5))
    reference = nn.Conv(6, (kernel, kernel), strides=stride, padding=padding)
    assert_same(Conv(6, kernel, stride, padding), reference.apply, x)


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (1, 1)])
def test_upsample_conv(size):
    x = jax.random.normal(jax.random.key(0), (2, *size, 5))
    reference = nn.Conv(6, (3, 3))
    assert_same(UpsampleConv(6), lambda params, x: reference.apply(params, x.repeat(2, 1).repeat(2, 2)), x)
