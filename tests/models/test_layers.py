"""Laws of the shared layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.models import layers


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("keys", [7, 12])
def test_attention_is_jax_attention_in_value_and_gradient(causal, keys):
    query, key, value = normal(0, 2, keys, 3, 4), normal(1, 2, keys, 3, 4), normal(2, 2, keys, 3, 4)
    mask = jnp.tril(jnp.ones((keys, keys), bool)) if causal else None

    def loss(attention):
        return lambda *qkv: jnp.sum(jnp.sin(attention(*qkv, mask=mask)))

    ours = jax.value_and_grad(loss(layers.attention), (0, 1, 2))(query, key, value)
    reference = jax.value_and_grad(loss(jax.nn.dot_product_attention), (0, 1, 2))(query, key, value)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), ours, reference)  # float32 rounding


def test_attention_takes_large_logits():
    query = 1e3 * normal(0, 1, 4, 1, 8)
    assert jnp.isfinite(layers.attention(query, query, query)).all()


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
