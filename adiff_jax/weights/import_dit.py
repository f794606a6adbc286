"""DiT, in its authors' format or in diffusers', as the beginning of an sDiT.

What they share is taken. On one frame without conditions the result is DiT's noise prediction for its null class, that
of classifier-free guidance: the null class becomes the null CLIP embedding, the other classes and the learned variances
are dropped, and the embeddings of CLIP and of landmarks are new.
"""

import logging
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from adiff_jax.diffusion.process import DiffusionConfig
from adiff_jax.models.layers import sincos_2d
from adiff_jax.models.sdit import SIZES, ConditionEmbedder, LandmarkMap, SDiTConfig
from adiff_jax.types import NUM_LANDMARKS, Conditioning
from adiff_jax.weights.bundle import abstract_params, refuse_existing, save_component, write_config
from adiff_jax.weights.keymaps import DIT, DIT_OF_DIFFUSERS, Rules, convert, published_name
from adiff_jax.weights.sources import Layout, Tensors, find_folder, read_config, read_file, read_folder
from adiff_jax.weights.tensors import WeightsError, check_names

LAYOUT = Layout("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin", subfolder="transformer")

# What an sDiT has of DiT.
_SHARED = re.compile(r"(x_embedder|blocks|final_layer|condition/t_embedder)/.*|condition/null_clip")

logger = logging.getLogger(__name__)


def import_dit(source: str | os.PathLike, out: str | os.PathLike, *, num_frames: int = 4, clip_dim: int = 768) -> Path:
    """Writes `out/sdit`, a component of a bundle, and `out/scheduler`, the process that DiT was trained on.

    Args:
        source: a `.pt` file of facebookresearch/DiT; or a folder with diffusers' `config.json` and weights, folder of a
            pipeline with `transformer/`, or a repository of the hub.
        out: folder, made if it is not there.
        num_frames: frames of a sequence, `S`.
        clip_dim: width of the CLIP embedding, `E`.

    Returns:
        The folder of the component.

    Raises:
        WeightsError: one of them is there already; or `source` is incomplete, has another graph than ours, or does not
            fit its own config.
    """
    folder, scheduler = refuse_existing(Path(out) / "sdit"), refuse_existing(Path(out) / "scheduler")
    where, own = str(source), {"num_frames": num_frames, "clip_dim": clip_dim}
    if Path(source).is_file():
        tensors = read_file(Path(source))
        config = SDiTConfig(**options_of_file(tensors, where), **own)
        shared = dit_params(tensors, config, DIT, where)
    else:
        published = find_folder(source, LAYOUT)
        config = SDiTConfig(**options_of_diffusers(read_config(published), where), **own)
        tensors = join_diffusers(read_folder(published, LAYOUT), config.depth, where)
        shared = dit_params(tensors, config, DIT_OF_DIFFUSERS, where)
    save_component(folder, config, with_new_params(shared, config))
    write_config(scheduler, DiffusionConfig(schedule="linear", prediction="epsilon"))
    return folder


def options_of_file(tensors: Tensors, where: str) -> dict[str, Any]:
    """Options of `SDiTConfig` that the shapes in a file of facebookresearch/DiT tell; the heads are the size's.

    Raises:
        WeightsError: these are not the tensors of a DiT, or its size is not one of `SIZES`.
    """
    axes = {"x_embedder.proj.weight": 4, "blocks.0.mlp.fc1.weight": 2, "pos_embed": 3}
    for name, count in axes.items():
        if name not in tensors or tensors[name].ndim != count:
            raise WeightsError(f"{where}: no tensor {name} with {count} axes: not a file of facebookresearch/DiT")
    kernel, hidden, positions = (tensors[name].shape for name in axes)
    width, in_channels, patch_size, _ = kernel
    depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    heads = [size[2] for size in SIZES.values() if size[:2] == (depth, width)]
    if not heads:
        raise WeightsError(f"{where}: {depth} blocks of width {width} are none of the sizes {', '.join(SIZES)}")
    return {
        "in_channels": in_channels,
        "input_size": math.isqrt(positions[1]) * patch_size,
        "patch_size": patch_size,
        "depth": depth,
        "width": width,
        "num_heads": heads[0],
        "mlp_ratio": hidden[0] / width,
    }


def options_of_diffusers(options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Options of `SDiTConfig` for those of a `DiTTransformer2DModel`; what is left out has diffusers' defaults.

    `norm_eps` is not looked at: diffusers' files give 1e-5 for some of the norms, where DiT was trained with 1e-6.

    Raises:
        WeightsError: the options describe a graph that ours is not.
    """
    fixed = {
        "norm_type": "ada_norm_zero",
        "activation_fn": "gelu-approximate",
        "attention_bias": True,
        "norm_elementwise_affine": False,
    }
    for name, value in fixed.items():
        if options.get(name, value) != value:
            raise WeightsError(f"{where}: {name} is {options[name]!r}, DiT has {value!r}")
    heads = options.get("num_attention_heads", 16)
    return {
        "in_channels": options.get("in_channels", 4),
        "input_size": options.get("sample_size", 32),
        "patch_size": options.get("patch_size", 2),
        "depth": options.get("num_layers", 28),
        "width": heads * options.get("attention_head_dim", 72),
        "num_heads": heads,
    }


def join_diffusers(tensors: Tensors, depth: int, where: str) -> dict[str, np.ndarray]:
    """Diffusers' tensors, with one `to_qkv` for a block's `to_q`, `to_k`, `to_v`, and one set of embeddings for all.

    Raises:
        WeightsError: a tensor of these is missing, or the blocks have embeddings of their own.
    """
    tensors = dict(tensors)
    for layer in range(depth):
        for kind in ("weight", "bias"):
            prefix = f"transformer_blocks.{layer}.attn1.to_"
            names = [f"{prefix}{projection}.{kind}" for projection in "qkv"]
            parts = {name: tensors.pop(name) for name in names if name in tensors}
            check_names(parts, dict.fromkeys(names), where)
            tensors[f"{prefix}qkv.{kind}"] = np.concatenate(list(parts.values()))
    for name in list(tensors):
        if (match := re.fullmatch(r"transformer_blocks\.[1-9]\d*(\.norm1\.emb\..*)", name)) is not None:
            first = f"transformer_blocks.0{match[1]}"
            if not np.array_equal(tensors.pop(name), tensors.get(first, np.nan)):
                raise WeightsError(f"{where}: {name} is not {first}: DiT has one embedding for all blocks")
    return tensors


def dit_params(tensors: Tensors, config: SDiTConfig, keymap: Rules, where: str) -> dict[str, Any]:
    """The part of our parameters that DiT has, from all of its tensors; linear in them but for the fixed positions.

    Raises:
        WeightsError: see `keymaps.convert`; or the positions are not the fixed encoding.
    """
    tensors = _without_positions(tensors, config, where)
    classes = published_name("condition/null_clip", keymap)
    if classes in tensors and tensors[classes].ndim == 2:
        logger.info("%s: dropped all %d classes but the null class", where, len(tensors[classes]) - 1)
        tensors[classes] = tensors[classes][-1]
    for leaf in ("kernel", "bias"):
        output = published_name(f"final_layer/linear/{leaf}", keymap)
        if output in tensors and len(tensors[output]) == config.patch_size**2 * 2 * config.in_channels:
            logger.info("%s: dropped the learned variances in %s", where, output)
            tensors[output] = _noise_rows(tensors[output], config)
    wanted = flatten_dict(abstract_params(config), sep="/")
    wanted = unflatten_dict({path: leaf for path, leaf in wanted.items() if _SHARED.fullmatch(path)}, sep="/")
    return convert(tensors, wanted, keymap, where, patch_size=config.patch_size)


def with_new_params(shared: Mapping[str, Any], config: SDiTConfig) -> dict[str, Any]:
    """All parameters of an sDiT: `shared`, and the rest as initialised, always alike."""
    keys = jax.random.split(jax.random.key(0))
    cond = Conditioning.create(jnp.zeros((1, config.clip_dim)), jnp.zeros((1, 1, NUM_LANDMARKS, 2)))
    new = {
        "condition": ConditionEmbedder(config).init(keys[0], jnp.zeros(1), cond)["params"],
        "landmark_map": LandmarkMap(config, (1, 1)).init(keys[1], cond.landmarks, cond.landmarks_mask)["params"],
    }
    return unflatten_dict(flatten_dict(nn.unbox(new)) | flatten_dict(dict(shared)))


def _without_positions(tensors: Tensors, config: SDiTConfig, where: str) -> dict[str, np.ndarray]:
    """Drops the encoding of positions, having seen that it is the one that the model computes."""
    tensors = dict(tensors)
    for name in ("pos_embed", "pos_embed.pos_embed"):
        positions = tensors.pop(name, None)
        if positions is not None:
            side = config.input_size // config.patch_size
            fixed = sincos_2d(side, side, config.width)[None]
            if positions.shape != fixed.shape or not np.allclose(positions, fixed, atol=1e-3):  # may be half precision
                raise WeightsError(f"{where}: tensor {name} is not the fixed encoding of {side} x {side} patches")
            logger.info("%s: dropped %s: a fixed encoding, which is computed", where, name)
    return tensors


def _noise_rows(tensor: np.ndarray, config: SDiTConfig) -> np.ndarray:
    """Of outputs ordered (row, column, noise then variance of each channel) those of the noise."""
    rows = tensor.reshape(config.patch_size**2, 2, config.in_channels, *tensor.shape[1:])[:, 0]
    return rows.reshape(-1, *tensor.shape[1:])
