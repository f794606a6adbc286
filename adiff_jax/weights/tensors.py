"""Trees of parameters in safetensors files: flat names joined by "/", float32 in memory, nothing executable."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.core.meta
import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

Params = Mapping[str, Any]


class WeightsError(ValueError):
    """Weights that are absent, unreadable, or do not fit the model; says which tensor or file."""


def save_tensors(path: str | os.PathLike, params: Params, dtype: str = "float32") -> None:
    """Writes `params` aside and renames.

    Args:
        path: the `.safetensors` file to write.
        params: nested dictionaries of arrays; Linen's partitioning boxes are taken off.
        dtype: what floating tensors are stored as, `"float32"` or `"float16"` (half the size, about 3 digits).

    Raises:
        WeightsError: a value is not finite, or too large for `dtype`.
    """
    path = Path(path)
    tensors = {}
    for name, leaf in flatten_dict(flax.core.meta.unbox(dict(params)), sep="/").items():
        value = np.asarray(leaf)
        if jax.dtypes.issubdtype(value.dtype, np.floating):
            with np.errstate(over="ignore"):
                value = value.astype(dtype)
            if not np.isfinite(value).all():
                raise WeightsError(f"{path.name}: tensor {name} has values that are not finite in {dtype}")
        tensors[name] = np.array(value, order="C")
    draft = path.with_name(path.name + ".part")
    try:
        save_file(tensors, draft)
        draft.chmod(0o644)  # safetensors' is the owner's alone
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def load_tensors(path: str | os.PathLike, expected: Params) -> dict[str, Any]:
    """Reads the tree that `expected` describes.

    Args:
        path: a `.safetensors` file with names joined by "/".
        expected: tree of arrays or `jax.ShapeDtypeStruct` with the wanted names and shapes (see `jax.eval_shape`).

    Returns:
        The tree with NumPy arrays of the expected dtypes.

    Raises:
        WeightsError: the file is absent or not safetensors; a tensor is missing, surplus or of another shape.
    """
    try:
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise WeightsError(f"no weights at {path}") from error
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error
    wanted = flatten_dict(flax.core.meta.unbox(dict(expected)), sep="/")
    check_names(tensors, wanted, str(path))
    for name, leaf in wanted.items():
        if tensors[name].shape != leaf.shape:
            raise WeightsError(f"{path}: tensor {name} has shape {tensors[name].shape}, the model needs {leaf.shape}")
    return unflatten_dict({name: tensors[name].astype(leaf.dtype) for name, leaf in wanted.items()}, sep="/")


def check_names(found: Mapping[str, Any], wanted: Mapping[str, Any], where: str) -> None:
    """Raises `WeightsError` that lists what is missing in `found` and what is surplus, against `wanted`."""
    missing, surplus = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing:
        raise WeightsError(f"{where}: missing {_listed(missing)}")
    if surplus:
        raise WeightsError(f"{where}: the model has no place for {_listed(surplus)}")


def _listed(names: list[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"tensor{'s' if len(names) > 1 else ''} " + ", ".join(names[:most]) + rest
