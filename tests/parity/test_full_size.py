"""The published sizes equal their references, values and gradients: SD's autoencoder, CLIP ViT-L/14 and DiT-XL/2.

Weights are random. The reference's answers come first, and it is freed before ours is loaded, to save memory. Of DiT's
blocks three are compared by their parameters' gradients, with `ADIFF_ALL_BLOCKS=1` all. Of the autoencoder the
reference computes in float64, ours in float32: how far its gradients in float32 are from those in float64 differs by
processor and library, from 7e-5 to 1.6e-4, and is no error of ours.
"""

import dataclasses
import functools
import gc
import os
import re
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch, with the extra `import`, is what ours is compared with")
pytest.importorskip("diffusers", reason="diffusers, with the extra `import`, is what ours is compared with")

import diffusers
import torch
import torch_reference as reference
import transformers
from flax.traverse_util import flatten_dict, unflatten_dict

from adiff_jax.models.autoencoder import AutoencoderConfig, AutoencoderKL
from adiff_jax.models.clip import CLIP, PIXEL_MEAN, PIXEL_STD, CLIPConfig
from adiff_jax.models.sdit import SDiT, SDiTConfig
from adiff_jax.types import NUM_LANDMARKS, Conditioning
from adiff_jax.weights.bundle import load_component
from adiff_jax.weights.import_autoencoder import autoencoder_params, import_autoencoder
from adiff_jax.weights.import_clip import clip_params, import_clip
from adiff_jax.weights.import_dit import dit_params, import_dit, join_diffusers
from adiff_jax.weights.keymaps import DIT_OF_DIFFUSERS

pytestmark = pytest.mark.slow

# As a program is compiled for use, which the suite goes without: fused multiply-adds round half as often.
compiled = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}
)

# DiT's blocks whose gradients are compared: those of all take 14 GB, of three 13.
PROBED = tuple(range(28)) if os.environ.get("ADIFF_ALL_BLOCKS") else (0, 14, 27)


def publish(model: torch.nn.Module, folder: Path) -> None:
    """Writes weights that have no zeros of initialisation."""
    reference.randomise(model).save_pretrained(folder)


def load(component: Path, config_class: type) -> tuple:
    """Config and weights, which are in memory once: not also as NumPy's, which are not aligned as XLA wants them."""
    config, params = load_component(component, config_class)
    return config, jax.device_put(params)


def compare(names: Sequence[str], ours: tuple, values: Sequence[np.ndarray], gradient: dict) -> None:
    """Holds ours, values by `names` and the gradient of the parameters, to the reference's."""
    for what, value, expected in zip(names, ours[0], values, strict=True):
        reference.check(what, reference.difference(value, expected), reference.FLOAT32)
    reference.check_gradients(ours[1], gradient)


def test_stable_diffusions_autoencoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[128, 256, 512, 512],
        layers_per_block=2,
    )
    publish(model, tmp_path / "published")
    x = np.random.default_rng(0).uniform(-1, 1, (1, 64, 40, 3)).astype(np.float32)
    pixels = reference.channels_first(x).double().requires_grad_()
    model.double()
    posterior = model.encode(pixels).latent_dist
    decoded = model.decode(posterior.mode()).sample
    decoded.square().sum().backward()
    tensors = (posterior.parameters, decoded, pixels.grad)
    values = [reference.channels_last(value) for value in tensors]
    gradient = autoencoder_params(reference.gradients(model), AutoencoderConfig(), "gradients")
    del model, posterior, decoded, tensors
    gc.collect()

    config, params = load(import_autoencoder(tmp_path / "published", tmp_path), AutoencoderConfig)
    assert config == AutoencoderConfig()

    @compiled
    def ours(params: dict, x: jax.Array) -> tuple:
        apply = lambda params, x: AutoencoderKL(config).apply({"params": params}, x)  # noqa: E731
        (reconstruction, moments), vjp = jax.vjp(apply, params, x)
        gradient, of_pixels = vjp((2 * reconstruction, jnp.zeros_like(moments)))
        return (moments, reconstruction, of_pixels), gradient

    names = ("encode", "encode and decode", "gradient of the picture")
    compare(names, ours(params, x), values, gradient)


def test_clip_vit_l_14(tmp_path: Path) -> None:
    torch.manual_seed(0)
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "eos_token_id": 2}
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24}
    published = transformers.CLIPConfig(text_config=text, vision_config=vision | {"patch_size": 14}, projection_dim=768)
    model = transformers.CLIPModel(published)
    publish(model, tmp_path / "published")
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / "published" / name).write_text("{}")
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (1, 224, 224, 3)).astype(np.float32)
    tokens = np.concatenate([[49406], rng.integers(0, 49406, 20), [49407] * 56])[None]
    normalised = ((x + 1) / 2 - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD)
    pixels = reference.channels_first(normalised).requires_grad_()
    image = model.get_image_features(pixel_values=pixels).pooler_output
    text = model.get_text_features(input_ids=torch.from_numpy(tokens)).pooler_output
    (image.sin().sum() + text.sin().sum()).backward()
    of_pixels = reference.channels_last(pixels.grad) / 2 / np.float32(PIXEL_STD)
    values = (image.detach().numpy(), text.detach().numpy(), of_pixels)
    gradient = clip_params(
        reference.gradients(model) | {"logit_scale": np.zeros((), np.float32)}, CLIPConfig(), "gradients"
    )
    del model, image, text
    gc.collect()

    config, params = load(import_clip(tmp_path / "published", tmp_path), CLIPConfig)
    assert config == CLIPConfig()

    @compiled
    def ours(params: dict, x: jax.Array) -> tuple:
        apply = lambda params, x: CLIP(config).apply({"params": params}, x, tokens)[:2]  # noqa: E731
        (image, text), vjp = jax.vjp(apply, params, x)
        gradient, of_pixels = vjp((jnp.cos(image), jnp.cos(text)))
        return (image, text, of_pixels), gradient

    names = ("image", "text", "gradient of the picture")
    compare(names, ours(params, x), values, gradient)


def test_dit_xl_2(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = diffusers.DiTTransformer2DModel(out_channels=8, norm_eps=1e-6)
    embedding = model.transformer_blocks[0].norm1.emb
    for block in model.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(embedding.state_dict())
    # Not by `publish`, which would make the blocks' copies of the embeddings differ.
    model.save_pretrained(tmp_path / "published")
    for i, block in enumerate(model.transformer_blocks):
        block.requires_grad_(i in PROBED)
        block.norm1.emb = embedding
    embedding.time_proj.downscale_freq_shift = 0  # as facebookresearch/DiT: see test_dit.py
    z = np.random.default_rng(0).standard_normal((1, 32, 32, 4), np.float32)
    latents = reference.channels_first(z).requires_grad_()
    output = model.eval()(latents, timestep=torch.tensor([417.0]), class_labels=torch.tensor([1000])).sample[:, :4]
    output.square().sum().backward()
    values = reference.channels_last(output), reference.channels_last(latents.grad)
    probed = dataclasses.replace(SDiTConfig.size("XL/2"), depth=len(PROBED))
    gradient = dit_params(gradients_of_probed(model), probed, DIT_OF_DIFFUSERS, "gradients")
    del model, embedding, output, block
    gc.collect()

    config, params = load(import_dit(tmp_path / "published", tmp_path), SDiTConfig)
    assert config == SDiTConfig.size("XL/2")
    nothing = jnp.zeros(1, bool)
    cond = Conditioning(jnp.zeros((1, 768)), nothing, jnp.zeros((1, 1, NUM_LANDMARKS, 2)), nothing)

    @compiled
    def ours(params: dict, z: jax.Array) -> tuple:
        def apply(params: dict, z: jax.Array) -> jax.Array:
            return SDiT(config).apply({"params": params}, z[:, None], jnp.array([417.0]), cond)[:, 0]

        noise, vjp = jax.vjp(apply, params, z)
        of_params, of_latents = vjp(2 * noise)
        of_params["blocks"] = jax.tree.map(lambda leaf: leaf[np.array(PROBED)], of_params["blocks"])
        paths = flatten_dict(gradient)
        shared = {path: leaf for path, leaf in flatten_dict(of_params).items() if path in paths}
        return (noise, of_latents), unflatten_dict(shared)

    compare(("noise", "gradient of the latents"), ours(params, z), values, gradient)


def gradients_of_probed(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """Those of a DiT with the probed blocks alone, counted from 0."""
    tensors = {}
    for name, value in reference.gradients(model).items():
        if (match := re.fullmatch(r"transformer_blocks\.(\d+)\.(.*)", name)) is None:
            tensors[name] = value
        elif int(match[1]) in PROBED:
            tensors[f"transformer_blocks.{PROBED.index(int(match[1]))}.{match[2]}"] = value
    return join_diffusers(tensors, len(PROBED), "gradients")
