"""Our autoencoder is diffusers' `AutoencoderKL`: same function and same gradients for weights in its format."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch, with the extra `import`, is what ours is compared with")
pytest.importorskip("diffusers", reason="diffusers, with the extra `import`, is what ours is compared with")

import torch
import torch_reference as reference
from diffusers import AutoencoderKL as Reference

from adiff_jax.models.autoencoder import AutoencoderConfig, AutoencoderKL, scale_latents, unscale_latents
from adiff_jax.weights.bundle import load_component
from adiff_jax.weights.import_autoencoder import add_identities, autoencoder_params, import_autoencoder

BASE = {
    "block_out_channels": (16, 32, 32),
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 8,
    "mid_block_add_attention": True,
}
CASES = {
    "attention": {},
    "one level": {"block_out_channels": (24,), "layers_per_block": 1, "norm_num_groups": 4},
    "no attention": {"mid_block_add_attention": False, "layers_per_block": 1},
    "wide latents": {
        "block_out_channels": (8, 24),
        "norm_num_groups": 4,  # of a channel a group, norms would take biases away, and leave gradients of rounding
        "latent_channels": 16,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "scaling_factor": 0.36,
        "shift_factor": 0.1,
    },
    "grey": {"in_channels": 1, "out_channels": 1, "block_out_channels": (8, 16), "norm_num_groups": 2},
}


def build(options: dict) -> Reference:
    torch.manual_seed(0)
    levels = len(options["block_out_channels"])
    types = {"down_block_types": ["DownEncoderBlock2D"] * levels, "up_block_types": ["UpDecoderBlock2D"] * levels}
    return reference.randomise(Reference(**types, **options))


def imported(model: Reference, folder: Path) -> tuple[AutoencoderConfig, dict]:
    model.save_pretrained(folder / "published")
    return load_component(import_autoencoder(folder / "published", folder), AutoencoderConfig)


def pictures(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize("size", [(32, 24), (37, 29)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_encode_and_decode(case: str, size: tuple[int, int], tmp_path: Path) -> None:
    model = build(BASE | CASES[case])
    config, params = imported(model, tmp_path)
    ours = AutoencoderKL(config)
    x = pictures((2, *size, config.in_channels))
    z = pictures((2, 5, 3, config.latent_channels))
    with torch.no_grad():
        moments = model.encode(reference.channels_first(x)).latent_dist.parameters
        decoded = model.decode(reference.channels_first(z)).sample
    for method, given, expected in (("encode", x, moments), ("decode", z, decoded)):
        apply = jax.jit(functools.partial(ours.apply, method=method))
        expected = reference.channels_last(expected)
        reference.check(method, reference.difference(apply({"params": params}, given), expected), reference.FLOAT32)
        half = AutoencoderKL(dataclasses.replace(config, dtype="bfloat16"))
        result = jax.jit(functools.partial(half.apply, method=method))({"params": params}, given)
        reference.check(f"{method} in bfloat16", reference.relative_error(result, expected), reference.BFLOAT16)


@pytest.mark.parametrize("case", CASES)
def test_gradients(case: str, tmp_path: Path) -> None:
    options = BASE | CASES[case]
    model = build(options)
    config, params = imported(model, tmp_path)
    x = pictures((1, 16, 24, config.in_channels))
    weights = pictures((1, 16, 24, config.in_channels), seed=1)

    def loss(params: dict) -> jax.Array:
        reconstruction, moments = AutoencoderKL(config).apply({"params": params}, x)
        return jnp.sum(reconstruction * weights) + jnp.sum(jnp.square(moments))

    posterior = model.encode(reference.channels_first(x)).latent_dist
    reconstruction = model.decode(posterior.mode()).sample
    expected = (reconstruction * reference.channels_first(weights)).sum() + posterior.parameters.square().sum()
    expected.backward()
    value, gradient = jax.jit(jax.value_and_grad(loss))(params)
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    found = add_identities(reference.gradients(model), options, config)
    expected_gradient = autoencoder_params(found, config, "gradients")
    for name in ("quant_conv", "post_quant_conv"):
        if not options.get(f"use_{name}", True):  # then ours is an identity, and has a gradient all the same
            del gradient[name], expected_gradient[name]
    reference.check_gradients(gradient, expected_gradient)


def test_scaling_is_diffusers(tmp_path: Path) -> None:
    """A mean and deviation a channel are applied as diffusers' pipelines for them do."""
    statistics = {"latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [1.0, 2.0, 0.5, 4.0], "scaling_factor": 0.5}
    model = build(BASE | statistics)
    config, _ = imported(model, tmp_path)
    latents = pictures((1, 2, 2, 4))
    expected = (latents - statistics["latents_mean"]) * 0.5 / statistics["latents_std"]
    np.testing.assert_allclose(scale_latents(config, latents), expected, rtol=1e-5)
    np.testing.assert_allclose(unscale_latents(config, expected), latents, rtol=1e-5)
