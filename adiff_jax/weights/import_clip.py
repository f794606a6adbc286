"""transformers' `CLIPModel`, OpenAI's CLIP, as ours, with its tokenizer."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adiff_jax.models.clip import NORM_EPSILON, CLIPConfig
from adiff_jax.weights.bundle import abstract_params, refuse_existing, save_component
from adiff_jax.weights.keymaps import CLIP, convert, without
from adiff_jax.weights.sources import Layout, Tensors, find_folder, read_config, read_folder
from adiff_jax.weights.tensors import WeightsError

TOKENIZER = ("vocab.json", "merges.txt")
LAYOUT = Layout("model.safetensors", "pytorch_model.bin", others=(*TOKENIZER, "tokenizer_config.json"))

# transformers' defaults of the options of a tower, which its config files may leave out.
_TOWER = {"hidden_act": "quick_gelu", "layer_norm_eps": NORM_EPSILON, "num_hidden_layers": 12}
_TEXT = _TOWER | {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
}
_VISION = _TOWER | {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
}
# Configs from before transformers 4.31 give this end token, and mean the highest one of a text.
_OLD_EOS = 2


def import_clip(source: str | os.PathLike, out: str | os.PathLike) -> Path:
    """Writes `out/clip`, a component of a bundle, and `out/tokenizer`.

    Args:
        source: folder with `config.json`, weights, `vocab.json` and `merges.txt`, or a repository of the hub.
        out: folder, made if it is not there.

    Returns:
        The folder of the component.

    Raises:
        WeightsError: one of them is there already; or `source` is incomplete, has another graph than ours, or does not
            fit its own config.
    """
    folder, tokenizer = refuse_existing(Path(out) / "clip"), refuse_existing(Path(out) / "tokenizer")
    published = find_folder(source, LAYOUT)
    for name in TOKENIZER:
        if not (published / name).is_file():
            raise WeightsError(f"{source} has no {name}: the tokenizer belongs to the model")
    config = clip_config(read_config(published), str(source))
    save_component(folder, config, clip_params(read_folder(published, LAYOUT), config, str(source)))
    tokenizer.mkdir()
    for name in (*TOKENIZER, "tokenizer_config.json"):
        if (published / name).is_file():
            shutil.copyfile(published / name, tokenizer / name)
    return folder


def clip_config(options: Mapping[str, Any], where: str) -> CLIPConfig:
    """Our config for the options of a `CLIPModel`; those left out have transformers' defaults.

    Raises:
        WeightsError: the options describe a graph that ours is not.
    """
    text = _TEXT | (options.get("text_config") or {}) | (options.get("text_config_dict") or {})
    vision = _VISION | (options.get("vision_config") or {}) | (options.get("vision_config_dict") or {})
    fixed = [("model_type", options.get("model_type", "clip"), "clip"), ("num_channels", vision["num_channels"], 3)]
    for tower in (text, vision):
        fixed.append(("intermediate_size", tower["intermediate_size"], 4 * tower["hidden_size"]))
        fixed.append(("layer_norm_eps", tower["layer_norm_eps"], NORM_EPSILON))
        fixed.append(("hidden_act", tower["hidden_act"], text["hidden_act"]))
    for name, found, needed in fixed:
        if found != needed:
            raise WeightsError(f"{where}: {name} is {found!r}, the model has {needed!r}")
    end = text["eos_token_id"]
    try:
        return CLIPConfig(
            image_size=vision["image_size"],
            patch_size=vision["patch_size"],
            vision_width=vision["hidden_size"],
            vision_depth=vision["num_hidden_layers"],
            vision_heads=vision["num_attention_heads"],
            vocab_size=text["vocab_size"],
            context_length=text["max_position_embeddings"],
            text_width=text["hidden_size"],
            text_depth=text["num_hidden_layers"],
            text_heads=text["num_attention_heads"],
            projection_dim=options.get("projection_dim", 512),
            activation=text["hidden_act"],
            eos_token_id=text["vocab_size"] - 1 if end == _OLD_EOS else end,
        )
    except ValueError as error:
        raise WeightsError(f"{where}: {error}") from error


def clip_params(tensors: Tensors, config: CLIPConfig, where: str) -> dict[str, Any]:
    """Our parameters, from tensors under transformers' names.

    Raises:
        WeightsError: see `keymaps.convert`.
    """
    tensors = without(tensors, r"(text|vision)_model\.embeddings\.position_ids", "they count from 0", where)
    return convert(tensors, abstract_params(config), CLIP, where, patch_size=config.patch_size)
