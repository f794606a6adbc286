"""What a bundle is, in a hash: equal for equal weights and options, wherever and in what precision they are stored."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from adiff_jax.weights.tensors import Params


def component_digest(config: Any, params: Params) -> str:
    """SHA-256 of a model, in hexadecimal: its config, and name, shape and float32 values of each tensor."""
    digest = hashlib.sha256(_json(dataclasses.asdict(config)))
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    for path, leaf in sorted(((jax.tree_util.keystr(path), leaf) for path, leaf in leaves), key=lambda item: item[0]):
        tensor = np.ascontiguousarray(leaf, dtype="<f4")
        digest.update(_json([path, tensor.shape]))
        digest.update(tensor.data)
    return digest.hexdigest()


def bundle_digest(components: dict[str, str], scheduler: Any, tokenizer: Path) -> str:
    """SHA-256 of a bundle, in hexadecimal: of its models' digests, the scheduler's options, the tokenizer's files."""
    files = sorted(path for path in tokenizer.iterdir() if path.is_file()) if tokenizer.is_dir() else []
    texts = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    content = {"models": components, "scheduler": dataclasses.asdict(scheduler), "tokenizer": texts}
    return hashlib.sha256(_json(content)).hexdigest()


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True).encode()
