"""An sDiT that begins as DiT is that DiT, on one frame without conditions: same noise and same gradients.

The reference is diffusers' `DiTTransformer2DModel`, but for the frequencies of its time embedding: those of
facebookresearch/DiT, on which the published weights were trained, fall as i / half, diffusers' as i / (half - 1).
"""

import argparse
import dataclasses
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch, with the extra `import`, is what ours is compared with")
pytest.importorskip("diffusers", reason="diffusers, with the extra `import`, is what ours is compared with")

import torch
import torch_reference as reference
from diffusers import DiTTransformer2DModel as Reference
from flax.traverse_util import flatten_dict, unflatten_dict

from adiff_jax.models.sdit import SDiT, SDiTConfig
from adiff_jax.types import NUM_LANDMARKS, Conditioning
from adiff_jax.weights.bundle import load_component
from adiff_jax.weights.import_dit import dit_params, import_dit, join_diffusers
from adiff_jax.weights.keymaps import DIT_OF_DIFFUSERS

CLASSES = 5
BASE = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 3,
    "sample_size": 8,
    "patch_size": 2,
    "num_embeds_ada_norm": CLASSES,
    "norm_eps": 1e-6,
}
CASES = {
    "learned variance": {},
    "noise alone": {"out_channels": None, "in_channels": 3, "patch_size": 4, "sample_size": 12},
    "odd heads": {"num_attention_heads": 3, "attention_head_dim": 20, "num_layers": 1, "sample_size": 6},
}
XXS = {"num_attention_heads": 4, "attention_head_dim": 40, "num_layers": 6}


def build(options: dict) -> Reference:
    """A random model whose blocks all have equal embeddings, as in the published files."""
    torch.manual_seed(0)
    model = reference.randomise(Reference(**options))
    first = model.transformer_blocks[0].norm1.emb
    for block in model.transformer_blocks:
        block.norm1.emb.load_state_dict(first.state_dict())
    return model


def noise(model: Reference, z: np.ndarray, t: np.ndarray) -> torch.Tensor:
    """The noise [B, c, h, w] that the null class predicts; the blocks share their embeddings from here on."""
    for block in model.transformer_blocks:
        block.norm1.emb = model.transformer_blocks[0].norm1.emb
    model.transformer_blocks[0].norm1.emb.time_proj.downscale_freq_shift = 0
    null = torch.full((len(z),), model.config.num_embeds_ada_norm)
    output = model(reference.channels_first(z), timestep=torch.from_numpy(t), class_labels=null).sample
    return output[:, : z.shape[-1]]


def inputs(config: SDiTConfig) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2, config.input_size, config.input_size, config.in_channels), np.float32)
    return z, np.array([3.0, 851.0], np.float32)


def apply(config: SDiTConfig, params: dict, z: np.ndarray, t: np.ndarray) -> jax.Array:
    """Our prediction on one frame without conditions, whatever these hold."""
    cond = Conditioning.create(jnp.ones((len(z), config.clip_dim)), jnp.ones((len(z), 1, NUM_LANDMARKS, 2)))
    nothing = jnp.zeros(len(z), bool)
    cond = dataclasses.replace(cond, clip_mask=nothing, landmarks_mask=nothing)
    return SDiT(config).apply({"params": params}, z[:, None], t, cond)[:, 0]


@pytest.mark.parametrize("case", CASES)
def test_noise_and_gradients(case: str, tmp_path: Path) -> None:
    model = build(BASE | CASES[case])
    model.save_pretrained(tmp_path / "published")
    config, params = load_component(import_dit(tmp_path / "published", tmp_path, clip_dim=6), SDiTConfig)
    z, t = inputs(config)
    weights = np.random.default_rng(1).standard_normal(z.shape).astype(np.float32)
    expected = noise(model, z, t)
    (expected * reference.channels_first(weights)).sum().backward()
    expected = reference.channels_last(expected)

    def loss(params: dict) -> tuple[jax.Array, jax.Array]:
        output = apply(config, params, z, t)
        return jnp.sum(output * weights), output

    gradient, ours = jax.jit(jax.grad(loss, has_aux=True))(params)
    reference.check("noise", reference.difference(ours, expected), reference.FLOAT32)
    half = jax.jit(lambda params: apply(dataclasses.replace(config, dtype="bfloat16"), params, z, t))(params)
    reference.check("noise in bfloat16", reference.relative_error(half, expected), reference.BFLOAT16)

    tensors = join_diffusers(reference.gradients(model), config.depth, "gradients")
    expected_gradient = dit_params(tensors, config, DIT_OF_DIFFUSERS, "gradients")
    shared, found = flatten_dict(expected_gradient), flatten_dict(gradient)
    reference.check_gradients(unflatten_dict({path: found[path] for path in shared}), expected_gradient)


def test_diffusers_epsilon_hardly_matters(tmp_path: Path) -> None:
    """The norm before the MLP has 1e-5 in diffusers' files, for which ours has the 1e-6 of training."""
    model = build(BASE | {"norm_eps": 1e-5})
    model.save_pretrained(tmp_path / "published")
    config, params = load_component(import_dit(tmp_path / "published", tmp_path, clip_dim=6), SDiTConfig)
    z, t = inputs(config)
    with torch.no_grad():
        expected = reference.channels_last(noise(model, z, t))
    reference.check("noise", reference.difference(apply(config, params, z, t), expected), reference.FLOAT32)


def of_facebook(model: Reference) -> dict[str, torch.Tensor]:
    """The tensors of a model under the names of facebookresearch/DiT."""
    tensors = {"pos_embed": model.pos_embed.pos_embed}
    state = model.state_dict()
    rules = (
        (r"pos_embed\.proj", "x_embedder.proj"),
        (r"transformer_blocks\.0\.norm1\.emb\.timestep_embedder\.linear_1", "t_embedder.mlp.0"),
        (r"transformer_blocks\.0\.norm1\.emb\.timestep_embedder\.linear_2", "t_embedder.mlp.2"),
        (r"transformer_blocks\.0\.norm1\.emb\.class_embedder", "y_embedder"),
        (r"transformer_blocks\.(\d+)\.norm1\.linear", r"blocks.\1.adaLN_modulation.1"),
        (r"transformer_blocks\.(\d+)\.attn1\.to_out\.0", r"blocks.\1.attn.proj"),
        (r"transformer_blocks\.(\d+)\.ff\.net\.0\.proj", r"blocks.\1.mlp.fc1"),
        (r"transformer_blocks\.(\d+)\.ff\.net\.2", r"blocks.\1.mlp.fc2"),
        (r"proj_out_1", "final_layer.adaLN_modulation.1"),
        (r"proj_out_2", "final_layer.linear"),
    )
    for name, value in state.items():
        for pattern, replacement in rules:
            if re.match(pattern, name):
                tensors[re.sub(pattern, replacement, name)] = value
    for layer in range(model.config.num_layers):
        for kind in ("weight", "bias"):
            parts = [state[f"transformer_blocks.{layer}.attn1.to_{name}.{kind}"] for name in "qkv"]
            tensors[f"blocks.{layer}.attn.qkv.{kind}"] = torch.cat(parts)
    return tensors


@pytest.mark.parametrize("checkpoint", [False, True], ids=["weights alone", "training checkpoint"])
def test_the_authors_format(checkpoint: bool, tmp_path: Path) -> None:
    model = build(BASE | XXS)
    tensors = of_facebook(model)
    untrained = {name: torch.zeros_like(value) for name, value in tensors.items()}
    command = argparse.Namespace(model="DiT-XXS/2")
    content = {"model": untrained, "ema": tensors, "opt": {}, "args": command} if checkpoint else tensors
    torch.save(content, tmp_path / "DiT.pt")
    component = import_dit(tmp_path / "DiT.pt", tmp_path, clip_dim=6)
    config, params = load_component(component, SDiTConfig)
    assert config == SDiTConfig.size("XXS/2", input_size=8, clip_dim=6)
    z, t = inputs(config)
    with torch.no_grad():
        expected = reference.channels_last(noise(model, z, t))
    reference.check("noise", reference.difference(apply(config, params, z, t), expected), reference.FLOAT32)
