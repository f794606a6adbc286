"""Shapes, laws and published sizes of the autoencoder."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.models.autoencoder import (
    AutoencoderConfig,
    AutoencoderKL,
    GroupNorm,
    kl_divergence,
    posterior_mean,
    posterior_sample,
)
from adiff_jax.models.block_transform import dct_basis, depth_to_space, space_to_depth

TINY = {"latent_channels": 2, "block_out_channels": (8, 12), "layers_per_block": 1, "norm_num_groups": 4}


@functools.cache
def build(**options):
    """A model's config, its compiled `__call__` and random parameters."""
    config = AutoencoderConfig(**TINY | options)
    model, side = AutoencoderKL(config), 4 * config.patch_size
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: 0.2 * rng.standard_normal(leaf.shape, np.float32), shapes)
    return config, jax.jit(model.apply), params


def pictures(*shape):
    return jax.random.uniform(jax.random.key(1), (*shape, 3), minval=-1)


@pytest.mark.parametrize(("patch", "batch", "size"), [(1, (2,), (8, 12)), (4, (2, 3), (16, 8)), (1, (), (8, 8))])
def test_shapes(patch, batch, size):
    config, apply, params = build(patch_size=patch)
    reconstruction, moments = apply(params, pictures(*batch, *size))
    down = config.downsampling
    assert down == 2 * patch
    assert moments.shape == (*batch, size[0] // down, size[1] // down, 4)
    assert reconstruction.shape == (*batch, *size, 3)


def test_leading_dimensions_are_a_batch():
    _, apply, params = build()
    x = pictures(2, 3, 8, 8)
    nested, flat = apply(params, x)[0], apply(params, x.reshape(6, 8, 8, 3))[0]
    np.testing.assert_allclose(nested.reshape(flat.shape), flat, atol=1e-5)  # float32 rounding


def test_odd_size_loses_the_remainder():
    _, apply, params = build()
    assert apply(params, pictures(1, 9, 7))[0].shape == (1, 8, 6, 3)


def test_size_not_divisible_by_patch_is_refused():
    _, apply, params = build(patch_size=4)
    with pytest.raises(ValueError, match="multiples of 4"):
        apply(params, pictures(1, 18, 16))


def test_widths_not_divisible_by_groups_are_refused():
    with pytest.raises(ValueError, match="norm_num_groups 8"):
        AutoencoderConfig(block_out_channels=(8, 12), norm_num_groups=8)


def test_stable_diffusion_size():
    model = AutoencoderKL(AutoencoderConfig())
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 83_653_863  # diffusers, stabilityai/sd-vae-ft-mse


def test_with_a_linear_path_training_begins_at_the_block_transform():
    model = AutoencoderKL(AutoencoderConfig(**TINY | {"latent_channels": 6, "patch_size": 2, "linear_path": True}))
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3)), jnp.float32)
    params = nn.unbox(jax.jit(model.init)(jax.random.key(0), x))["params"]
    moments = jax.jit(functools.partial(model.apply, method="encode"))({"params": params}, x)
    basis, deviations = dct_basis(4, 6)
    expected = np.asarray(space_to_depth(x, 4)) @ (basis / deviations)
    np.testing.assert_allclose(posterior_mean(moments), expected, atol=1e-5)  # float32 round-off
    np.testing.assert_allclose(moments[..., 6:], -6.0, atol=1e-5)
    decoded = jax.jit(functools.partial(model.apply, method="decode"))({"params": params}, posterior_mean(moments))
    np.testing.assert_allclose(decoded, depth_to_space(jnp.asarray(expected * deviations @ basis.T), 4), atol=1e-5)


def test_posterior():
    moments = jnp.broadcast_to(jnp.array([3.0, -1.0, np.log(4.0), np.log(0.25)]), (200, 200, 4))
    sample = posterior_sample(jax.random.key(0), moments)
    assert jnp.array_equal(posterior_mean(moments), moments[..., :2])
    np.testing.assert_allclose(sample.mean((0, 1)), [3, -1], atol=0.05)  # five standard errors of 40,000 draws
    np.testing.assert_allclose(sample.std((0, 1)), [2, 0.5], rtol=0.02)


def test_kl_divergence():
    standard, other = jnp.zeros((4, 4, 2)), jnp.broadcast_to(jnp.array([1.0, np.log(4.0)]), (4, 4, 2))
    divergence = kl_divergence(jnp.stack([standard, other]))
    np.testing.assert_allclose(divergence, [0, 16 * 0.5 * (1 + 4 - 1 - np.log(4))], rtol=1e-6)


def test_group_norm_is_linens():
    x = 3 + 2 * jax.random.normal(jax.random.key(0), (2, 5, 7, 12))
    params = {"params": {"scale": jnp.arange(12.0), "bias": jnp.arange(12.0) - 5}}
    reference = nn.GroupNorm(4, epsilon=1e-6).apply(params, x)
    np.testing.assert_allclose(GroupNorm(4, "float32").apply(params, x), reference, atol=1e-4)  # values of 30


def test_bfloat16_is_close():
    _, apply, params = build()
    x = pictures(2, 8, 8)
    exact, half = apply(params, x)[0], build(dtype="bfloat16")[1](params, x)[0]
    assert half.dtype == jnp.bfloat16
    assert jnp.linalg.norm(half - exact) < 2e-2 * jnp.linalg.norm(exact)  # 8 bits of mantissa


def test_no_attention_has_no_attention_parameters():
    _, _, params = build(mid_block_add_attention=False)
    assert not any("attentions" in jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(params))
