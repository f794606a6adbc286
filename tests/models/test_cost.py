"""Costs of functions whose costs are known."""

import jax
import jax.numpy as jnp
import pytest

from adiff_jax.models.attention import attention
from adiff_jax.models.convolution import Conv
from adiff_jax.models.cost import count_flops, kept_bytes

MATRIX, ROWS = jax.ShapeDtypeStruct((5, 7), "float32"), jax.ShapeDtypeStruct((3, 5), "float32")
PRODUCT = 2 * 3 * 5 * 7


def turned(x, matrix):
    """Four times there and back."""
    return jax.lax.scan(lambda x, _: (x @ matrix @ matrix.T, None), x, length=4)[0]


@pytest.mark.parametrize(
    ("function", "flops"),
    [
        (jnp.matmul, PRODUCT),
        (lambda x, matrix: jnp.sin(x @ matrix) + 1, PRODUCT),
        (turned, 8 * PRODUCT),
        (jax.jit(jax.checkpoint(turned)), 8 * PRODUCT),
        (
            lambda x, matrix: jax.lax.cond(x[0, 0] > 0, lambda: x @ matrix, lambda: x @ matrix @ matrix.T @ matrix),
            3 * PRODUCT,
        ),
        (jax.grad(lambda x, matrix: jnp.sum(jnp.sin(x @ matrix)), (0, 1)), 3 * PRODUCT),
        (jax.vmap(lambda x, matrix: x @ matrix, (0, None)), PRODUCT),
    ],
)
def test_products(function, flops):
    assert count_flops(function, ROWS, MATRIX) == flops


def test_a_convolution():
    x = jax.ShapeDtypeStruct((2, 8, 6, 3), "float32")
    layer = Conv(5, stride=2)
    params = jax.eval_shape(layer.init, jax.random.key(0), x)
    assert count_flops(layer.apply, params, x) == 2 * (2 * 4 * 3 * 5) * (3 * 3 * 3)


@pytest.mark.parametrize("kernel", ["xla", "by_head"])
def test_attention(kernel):
    x = jax.ShapeDtypeStruct((2, 16, 3, 8), "float32")
    assert count_flops(lambda x: attention(x, x, x, kernel=kernel), x) == 2 * 2 * (2 * 3 * 16 * 16 * 8)


def test_what_is_kept():
    """Of a product its input, if that is not given; of a sine its argument's cosine; recomputed, nothing but inputs."""
    layer = lambda matrix, x: jnp.sum(jnp.sin((x + 1) @ matrix))  # noqa: E731
    values = 4 * (3 * 5 + 3 * 7)
    assert kept_bytes(layer, MATRIX, ROWS) == values
    assert kept_bytes(jax.checkpoint(layer), MATRIX, ROWS) == 0
    stacked = lambda matrices, x: jax.lax.scan(lambda x, m: (jnp.sin(x @ m), None), x, matrices)[0]  # noqa: E731
    assert kept_bytes(stacked, jax.ShapeDtypeStruct((6, 5, 5), "float32"), ROWS) == 6 * 2 * 4 * 3 * 5
