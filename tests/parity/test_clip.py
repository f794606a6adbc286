"""Our CLIP is transformers' `CLIPModel`: same embeddings and same gradients for weights in its format."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch, with the extra `import`, is what ours is compared with")

import torch
import torch_reference as reference
from transformers import CLIPConfig as ReferenceConfig
from transformers import CLIPModel as Reference

from adiff_jax.models.clip import CLIP, PIXEL_MEAN, PIXEL_STD, CLIPConfig
from adiff_jax.weights.bundle import load_component
from adiff_jax.weights.import_clip import clip_params, import_clip

TEXT = {
    "vocab_size": 60,
    "hidden_size": 24,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 9,
    "bos_token_id": 58,
    "eos_token_id": 50,
    "hidden_act": "quick_gelu",
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 24,
    "patch_size": 8,
    "hidden_act": "quick_gelu",
}
CASES = {
    "quick_gelu": ({}, {}),
    "gelu": ({"hidden_act": "gelu", "num_hidden_layers": 1}, {"hidden_act": "gelu"}),
    "odd sizes": (
        {"hidden_size": 15, "intermediate_size": 60, "num_attention_heads": 3, "max_position_embeddings": 7},
        {"hidden_size": 21, "intermediate_size": 84, "num_attention_heads": 7, "image_size": 35, "patch_size": 7},
    ),
    "old end token": ({"eos_token_id": 2}, {}),
}


def build(case: str) -> Reference:
    torch.manual_seed(0)
    text, vision = CASES[case]
    config = ReferenceConfig(text_config=TEXT | text, vision_config=VISION | vision, projection_dim=10)
    return reference.randomise(Reference(config))


def imported(model: Reference, folder: Path) -> tuple[CLIPConfig, dict]:
    model.save_pretrained(folder / "published")
    for name in ("vocab.json", "merges.txt"):
        (folder / "published" / name).write_text("{}")
    return load_component(import_clip(folder / "published", folder), CLIPConfig)


def inputs(config: CLIPConfig) -> tuple[np.ndarray, np.ndarray]:
    """Pictures in [-1, 1], and tokens with an end at several places; for old configs it is the highest token."""
    rng = np.random.default_rng(0)
    pictures = rng.uniform(-1, 1, (3, config.image_size, config.image_size, 3)).astype(np.float32)
    tokens = rng.integers(3, 40, (3, config.context_length))
    for row, end in enumerate((2, 4, config.context_length - 1)):
        tokens[row, end:] = config.eos_token_id
    return pictures, tokens


def embeddings(model: Reference, pictures: np.ndarray, tokens: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = reference.channels_first(((pictures + 1) / 2 - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD))
    image = model.get_image_features(pixel_values=pixels).pooler_output
    return image, model.get_text_features(input_ids=torch.from_numpy(tokens)).pooler_output


@pytest.mark.parametrize("case", CASES)
def test_embeddings_and_gradients(case: str, tmp_path: Path) -> None:
    model = build(case)
    config, params = imported(model, tmp_path)
    pictures, tokens = inputs(config)
    image, text = embeddings(model, pictures, tokens)
    scale = model.logit_scale
    (scale * (image @ text.T).sin().sum()).backward()

    def loss(params: dict) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        image, text, scale = CLIP(config).apply({"params": params}, pictures, tokens)
        return scale * jnp.sum(jnp.sin(image @ text.T)), (image, text)

    gradient, ours = jax.jit(jax.grad(loss, has_aux=True))(params)
    half = CLIP(dataclasses.replace(config, dtype="bfloat16")).apply({"params": params}, pictures, tokens)
    for tower, expected, result, half_result in zip(("image", "text"), (image, text), ours, half, strict=False):
        expected = expected.detach().numpy()
        reference.check(tower, reference.difference(result, expected), reference.FLOAT32)
        reference.check(f"{tower} in bfloat16", reference.relative_error(half_result, expected), reference.BFLOAT16)
    reference.check_gradients(gradient, clip_params(reference.gradients(model), config, "gradients"))


def test_the_tokenizer_comes_along(tmp_path: Path) -> None:
    imported(build("quick_gelu"), tmp_path)
    assert sorted(path.name for path in (tmp_path / "tokenizer").iterdir()) == ["merges.txt", "vocab.json"]
