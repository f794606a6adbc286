"""What a bundle is, in a hash: equal for equal weights and options, wherever and in what precision they are stored.

Options at their defaults do not count, so that a hash stays when a later version adds an option.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from adiff_jax.weights.modality import Modality
from adiff_jax.weights.tensors import Params


def component_digest(config: Any, params: Params) -> str:
    """SHA-256 of a model, in hexadecimal: its config, and name, shape and float32 values of each tensor."""
    digest = hashlib.sha256(_json(_options(config)))
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    for path, leaf in sorted(((jax.tree_util.keystr(path), leaf) for path, leaf in leaves), key=lambda item: item[0]):
        tensor = np.ascontiguousarray(leaf, dtype="<f4")
        digest.update(_json([path, tensor.shape]))
        digest.update(tensor.data)
    return digest.hexdigest()


def bundle_digest(components: dict[str, str], scheduler: Any, tokenizer: Path, modality: Modality | None) -> str:
    """SHA-256 of a bundle, in hexadecimal: of its models' digests, and what else it needs."""
    files = sorted(path for path in tokenizer.iterdir() if path.is_file()) if tokenizer.is_dir() else []
    content: dict[str, Any] = {
        "models": components,
        "scheduler": _options(scheduler),
        "tokenizer": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }
    if modality is not None:
        content["modality"] = [np.asarray(mean, "<f4").tolist() for mean in (modality.image_mean, modality.text_mean)]
    return hashlib.sha256(_json(content)).hexdigest()


def _options(config: Any) -> dict[str, Any]:
    values = ((field, getattr(config, field.name)) for field in dataclasses.fields(config))
    return {field.name: value for field, value in values if value != field.default}


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True).encode()
