"""Laws of the shared layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adiff_jax.models import layers


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def test_linear_contracts_several_axes():
    x = normal(0, 2, 5, 3, 4)
    layer = layers.Linear((6, 2), ("heads", None, "embed", None))
    params = nn.unbox(layer.init(jax.random.key(1), x))
    assert params["params"]["kernel"].shape == (3, 4, 6, 2) and params["params"]["bias"].shape == (6, 2)
    expected = jnp.einsum("abij,ijkl->abkl", x, params["params"]["kernel"])
    np.testing.assert_allclose(layer.apply(params, x), expected, atol=1e-5)  # float32 rounding


def test_layer_norm_is_linens():
    x = 3 + 2 * normal(0, 4, 9)
    reference = nn.LayerNorm(epsilon=1e-6, use_bias=False, use_scale=False).apply({}, x)
    np.testing.assert_allclose(layers.layer_norm(x), reference, atol=1e-5)  # float32 rounding


def test_timestep_embedding_is_cosines_then_sines():
    embedding = layers.timestep_embedding(jnp.array([0.0, 2.0]), 4)
    expected = [[1, 1, 0, 0], [np.cos(2), np.cos(0.02), np.sin(2), np.sin(0.02)]]
    np.testing.assert_allclose(embedding, expected, atol=1e-6)


def test_sincos_2d_puts_columns_first():
    encoding = layers.sincos_2d(2, 3, 8).reshape(2, 3, 8)
    np.testing.assert_array_equal(encoding[0, :, :4], encoding[1, :, :4])
    np.testing.assert_array_equal(encoding[:, 0, 4:], encoding[:, 2, 4:])
    np.testing.assert_allclose(encoding[0, 2, :4], [np.sin(2), np.sin(0.02), np.cos(2), np.cos(0.02)], atol=1e-6)
