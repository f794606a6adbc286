"""Which tensor of a published model is which of ours, and how it lies.

A keymap is a list of regular expressions and replacements that turn a path of ours, such as `blocks/mlp/fc1/kernel`,
into the published name, such as `blocks.*.mlp.fc1.weight`, `*` being the number of a layer of a stack. Reading by
our own names leaves no tensor unfilled, and what is then left over in the source has no place in the model.

PyTorch's kernels are [out, in, height, width] or [out, in]; ours are [height, width, in, out] or [in..., out...].
"""

import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from adiff_jax.weights.sources import Tensors
from adiff_jax.weights.tensors import Params, WeightsError, check_names

Rules = Sequence[tuple[str, str]]

# diffusers' `AutoencoderKL`.
AUTOENCODER: Rules = ((r"_(\d+)_", r"/\1/"), (r"_(\d+)/", r"/\1/"))
# The names of its attention before diffusers 0.15.
AUTOENCODER_OLD_NAMES: Rules = (
    (r"(attentions\.\d+)\.query\.", r"\1.to_q."),
    (r"(attentions\.\d+)\.key\.", r"\1.to_k."),
    (r"(attentions\.\d+)\.value\.", r"\1.to_v."),
    (r"(attentions\.\d+)\.proj_attn\.", r"\1.to_out.0."),
)
# transformers' `CLIPModel`.
CLIP: Rules = (
    (r"((?:class|patch|token|position)_embedding)", r"embeddings/\1"),
    (r"((?:token|position)_embedding)$", r"\1/weight"),
    (r"_model/layers/", r"_model/encoder/layers/*/"),
    (r"pre_layernorm", r"pre_layrnorm"),
)
# facebookresearch/DiT's `DiT`.
DIT: Rules = (
    (r"^x_embedder/", r"x_embedder/proj/"),
    (r"^condition/t_embedder/fc1", r"t_embedder/mlp/0"),
    (r"^condition/t_embedder/fc2", r"t_embedder/mlp/2"),
    (r"^condition/null_clip$", r"y_embedder/embedding_table/weight"),
    (r"^blocks/", r"blocks/*/"),
    (r"/adaln_modulation/", r"/adaLN_modulation/1/"),
)
# diffusers' `DiTTransformer2DModel`, its queries, keys and values joined. Every block repeats the embeddings; those of
# the first are read.
DIT_OF_DIFFUSERS: Rules = (
    (r"^x_embedder/", r"pos_embed/proj/"),
    (r"^condition/t_embedder/fc", r"transformer_blocks/0/norm1/emb/timestep_embedder/linear_"),
    (r"^condition/null_clip$", r"transformer_blocks/0/norm1/emb/class_embedder/embedding_table/weight"),
    (r"^blocks/attn/qkv/", r"transformer_blocks/*/attn1/to_qkv/"),
    (r"^blocks/attn/proj/", r"transformer_blocks/*/attn1/to_out/0/"),
    (r"^blocks/mlp/fc1/", r"transformer_blocks/*/ff/net/0/proj/"),
    (r"^blocks/mlp/fc2/", r"transformer_blocks/*/ff/net/2/"),
    (r"^blocks/adaln_modulation/", r"transformer_blocks/*/norm1/linear/"),
    (r"^final_layer/adaln_modulation/", r"proj_out_1/"),
    (r"^final_layer/linear/", r"proj_out_2/"),
)

# Linear layers of ours that are a convolution over patches in the source.
_PATCH_EMBEDDINGS = ("x_embedder", "patch_embedding")

logger = logging.getLogger(__name__)


def published_name(path: str, rules: Rules) -> str:
    """The published name of the tensor that is at `path` in our tree.

    Example:
        `published_name("encoder/down_blocks_0/norm1/scale", AUTOENCODER)` is `encoder.down_blocks.0.norm1.weight`.
    """
    path = re.sub(r"/(kernel|scale)$", "/weight", _replace(path, rules))
    return path.replace("/", ".")


def rename(tensors: Tensors, rules: Rules, where: str) -> dict[str, np.ndarray]:
    """Tensors under the names that `rules` make of theirs.

    Raises:
        WeightsError: two have one name then.
    """
    renamed: dict[str, np.ndarray] = {}
    for name, value in tensors.items():
        new = _replace(name, rules)
        if new in renamed:
            raise WeightsError(f"{where}: tensor {name} is there a second time, under another name")
        renamed[new] = value
    return renamed


def without(tensors: Tensors, pattern: str, reason: str, where: str) -> dict[str, np.ndarray]:
    """Tensors whose names do not match `pattern` in full; those that do are logged with the reason."""
    dropped = [name for name in tensors if re.fullmatch(pattern, name)]
    if dropped:
        logger.info("%s: dropped %s: %s", where, ", ".join(dropped), reason)
    return {name: value for name, value in tensors.items() if name not in dropped}


def convert(tensors: Tensors, wanted: Params, rules: Rules, where: str, *, patch_size: int = 1) -> dict[str, Any]:
    """Our tree of parameters, filled from published tensors; linear in these, so it converts gradients as well.

    Args:
        tensors: by their published names.
        wanted: tree of arrays or `jax.ShapeDtypeStruct` with our names and shapes (see `bundle.abstract_params`).
        rules: the keymap.
        where: what messages call the source.
        patch_size: side of the patches that the model embeds.

    Returns:
        The tree with float32 arrays.

    Raises:
        WeightsError: a tensor is missing, surplus or of another shape; it is named as in the source.
    """
    leaves = flatten_dict(dict(wanted), sep="/")
    names = {path: list(_names_of_layers(published_name(path, rules), leaf.shape)) for path, leaf in leaves.items()}
    check_names(tensors, dict.fromkeys(name for layers in names.values() for name in layers), where)
    filled = {}
    for path, leaf in leaves.items():
        stacked = "*" in published_name(path, rules)
        shape = leaf.shape[1:] if stacked else leaf.shape
        shapes = _published_shapes(path, shape, _output_axes(path, leaves, stacked), patch_size)
        layers = np.empty((len(names[path]), *shape), np.float32)
        for layer, name in enumerate(names[path]):
            value = tensors[name]
            if value.shape not in shapes:
                raise WeightsError(f"{where}: tensor {name} has shape {value.shape}, the model needs {shapes[0]}")
            if path.endswith("/kernel"):
                value = np.moveaxis(value, (0, 1), (-1, -2))
            layers[layer] = value.reshape(shape)
        filled[path] = layers if stacked else layers[0]
    return unflatten_dict(filled, sep="/")


def _replace(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _names_of_layers(name: str, shape: tuple[int, ...]) -> Iterator[str]:
    if "*" in name:
        yield from (name.replace("*", str(layer)) for layer in range(shape[0]))
    else:
        yield name


def _output_axes(path: str, leaves: Mapping[str, Any], stacked: bool) -> int:
    """How many of the last axes of a kernel are outputs: as many as its bias has; one, if there is none."""
    bias = leaves.get(f"{path.removesuffix('kernel')}bias")
    return 1 if bias is None else len(bias.shape) - stacked


def _published_shapes(path: str, shape: tuple[int, ...], outputs: int, patch_size: int) -> list[tuple[int, ...]]:
    """The shapes that a tensor of ours may have in the source, `shape` being that of one layer."""
    *modules, leaf = path.split("/")
    if leaf == "bias":
        return [(math.prod(shape),)]
    if leaf != "kernel":
        return [shape]
    if outputs == 1 and len(shape) == 4:
        height, width, in_features, out_features = shape
        return [(out_features, in_features, height, width)]
    out_features, in_features = math.prod(shape[-outputs:]), math.prod(shape[:-outputs])
    if modules[-1] in _PATCH_EMBEDDINGS:
        return [(out_features, in_features // patch_size**2, patch_size, patch_size)]
    return [(out_features, in_features), (out_features, in_features, 1, 1)]
