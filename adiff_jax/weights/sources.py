"""Published weights as NumPy arrays, from a file, a folder or the hub; nothing that is in them is executed.

Safetensors files are read without PyTorch; it is needed for pickled ones (`.pt`, `.pth`, `.bin`) alone.
"""

import argparse
import dataclasses
import json
import logging
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from adiff_jax.weights.hub import download, is_repo_id
from adiff_jax.weights.tensors import WeightsError, check_names

Tensors = Mapping[str, np.ndarray]

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Layout:
    """The files in which a library publishes a model, beside `config.json`.

    Attributes:
        safetensors: name of the weights; parts of it are listed in a file of this name and `.index.json`.
        pickled: name of the weights where they are not safetensors.
        subfolder: where a whole pipeline has the model.
        others: further files that are wanted.
    """

    safetensors: str
    pickled: str
    subfolder: str = "."
    others: tuple[str, ...] = ()

    def patterns(self, weights: str) -> list[str]:
        """Patterns of all wanted files of a repository, `weights` being one of the two names."""
        stem, suffix = os.path.splitext(weights)
        names = ["config.json", *self.others, weights, f"{weights}.index.json", f"{stem}-*{suffix}"]
        return [os.path.normpath(os.path.join(folder, name)) for folder in (".", self.subfolder) for name in names]


def find_folder(source: str | os.PathLike, layout: Layout) -> Path:
    """The folder with a model's `config.json`: `source`, its subfolder, or the download of the repository `source`.

    Raises:
        WeightsError: there is none.
    """
    folder = Path(source)
    if not folder.exists():
        if not is_repo_id(source):
            raise WeightsError(f"{source} is neither a file or folder nor a repository of the hub (OWNER/NAME)")
        folder = download(os.fspath(source), layout.patterns(layout.safetensors))
        if not any(folder.rglob("*.safetensors")):
            folder = download(os.fspath(source), layout.patterns(layout.pickled))
    for place in (folder, folder / layout.subfolder):
        if (place / "config.json").is_file():
            return place
    raise WeightsError(f"{source} has no config.json: not the folder of a published model")


def read_config(folder: Path) -> dict[str, Any]:
    """The options in a folder's `config.json`.

    Raises:
        WeightsError: the file is not a JSON object.
    """
    return _read_json(folder / "config.json")


def read_folder(folder: Path, layout: Layout) -> dict[str, np.ndarray]:
    """All tensors of a model, in one file or in several.

    Raises:
        WeightsError: there are no weights, a part is missing, or see `read_file`.
    """
    for name in (layout.safetensors, layout.pickled):
        if (folder / name).is_file():
            return read_file(folder / name)
        index = folder / f"{name}.index.json"
        if index.is_file():
            parts = _read_json(index).get("weight_map", {})
            tensors: dict[str, np.ndarray] = {}
            for part in sorted(set(parts.values())):
                if Path(part).name != part:
                    raise WeightsError(f"{index}: {part} is not a file beside it")
                tensors |= read_file(folder / part)
            check_names(tensors, parts, str(index))
            return tensors
    raise WeightsError(f"{folder} has neither {layout.safetensors} nor {layout.pickled}")


def read_file(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a `.safetensors` file, or of one that PyTorch pickled.

    Of a training checkpoint of facebookresearch/DiT the averaged weights (`ema`) are taken.

    Raises:
        WeightsError: the file is absent or damaged, holds anything but tensors, or PyTorch is not installed.
    """
    if not path.is_file():
        raise WeightsError(f"no weights at {path}")
    if path.suffix != ".safetensors":
        return _read_pickled(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error


def _read_pickled(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError as error:
        raise WeightsError(f"reading {path.name} needs PyTorch: pip install 'adiff_jax[import]'") from error

    try:
        # A training checkpoint also holds its command line: a `Namespace` has attributes and does nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path} is refused, and was not executed: it holds more than tensors") from error
    except (RuntimeError, EOFError) as error:
        raise WeightsError(f"{path} is not a readable PyTorch file: {error}") from error
    if isinstance(content, dict) and "ema" in content:
        others = ", ".join(sorted(content.keys() - {"ema"}))
        logger.info("%s: took the averaged weights, ema, and left %s", path.name, others or "nothing")
        content = content["ema"]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError(f"{path} is not a dictionary of tensors")
    return {name: value.float().numpy() for name, value in content.items()}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is not a JSON object")
    return content
