"""diffusers' `AutoencoderKL`, Stable Diffusion's autoencoder, as ours."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from adiff_jax.models.autoencoder import AutoencoderConfig
from adiff_jax.weights.bundle import abstract_params, refuse_existing, save_component
from adiff_jax.weights.keymaps import AUTOENCODER, AUTOENCODER_OLD_NAMES, convert, rename
from adiff_jax.weights.sources import Layout, Tensors, find_folder, read_config, read_folder
from adiff_jax.weights.tensors import WeightsError

LAYOUT = Layout("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin", subfolder="vae")

# diffusers' defaults of the options that it shares with ours.
_SHARED = {
    "in_channels": 3,
    "latent_channels": 4,
    "block_out_channels": (64,),
    "layers_per_block": 1,
    "norm_num_groups": 32,
    "mid_block_add_attention": True,
}


def import_autoencoder(source: str | os.PathLike, out: str | os.PathLike) -> Path:
    """Writes `out/autoencoder`, a component of a bundle.

    Args:
        source: folder with `config.json` and weights, folder of a pipeline with `vae/`, or a repository of the hub.
        out: folder, made if it is not there.

    Returns:
        The folder of the component.

    Raises:
        WeightsError: it is there already; or `source` is incomplete, has another graph than ours, or does not fit its
            own config.
    """
    folder = refuse_existing(Path(out) / "autoencoder")
    published = find_folder(source, LAYOUT)
    options = read_config(published)
    config = autoencoder_config(options, str(source))
    tensors = add_identities(read_folder(published, LAYOUT), options, config)
    save_component(folder, config, autoencoder_params(tensors, config, str(source)))
    return folder


def autoencoder_config(options: Mapping[str, Any], where: str) -> AutoencoderConfig:
    """Our config for the options of an `AutoencoderKL`; those left out have diffusers' defaults.

    Raises:
        WeightsError: the options describe a graph that ours is not.
    """
    shared = {name: options.get(name, default) for name, default in _SHARED.items()}
    shared["block_out_channels"] = tuple(shared["block_out_channels"])
    levels = len(shared["block_out_channels"])
    fixed = {
        "_class_name": "AutoencoderKL",
        "out_channels": shared["in_channels"],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "act_fn": "silu",
    }
    for name, value in fixed.items():
        if options.get(name, value) != value:
            raise WeightsError(f"{where}: {name} is {options[name]!r}, the model has {value!r}")
    try:
        return AutoencoderConfig(**shared, **_scaling(options, where))
    except ValueError as error:
        raise WeightsError(f"{where}: {error}") from error


def add_identities(tensors: Tensors, options: Mapping[str, Any], config: AutoencoderConfig) -> dict[str, np.ndarray]:
    """Tensors with those of layers that the options leave out and ours always has: they change nothing."""
    tensors = dict(tensors)
    for name, channels in (("quant_conv", 2 * config.latent_channels), ("post_quant_conv", config.latent_channels)):
        if not options.get(f"use_{name}", True):
            tensors[f"{name}.weight"] = np.eye(channels, dtype=np.float32)
            tensors[f"{name}.bias"] = np.zeros(channels, np.float32)
    return tensors


def autoencoder_params(tensors: Tensors, config: AutoencoderConfig, where: str) -> dict[str, Any]:
    """Our parameters, from tensors under diffusers' names, also those from before 0.15.

    Raises:
        WeightsError: see `keymaps.convert`.
    """
    return convert(rename(tensors, AUTOENCODER_OLD_NAMES, where), abstract_params(config), AUTOENCODER, where)


def _scaling(options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Scaling of the latents; a mean and deviation a channel, where there are any, are applied beside the factor."""
    factor, shift = options.get("scaling_factor", 0.18215), options.get("shift_factor")
    mean, deviation = options.get("latents_mean"), options.get("latents_std")
    if mean is None and deviation is None:
        return {"scaling_factor": factor, "shift_factor": shift or 0.0}
    if mean is None or deviation is None or shift:
        raise WeightsError(f"{where}: latents_mean and latents_std go together, and without shift_factor")
    return {"scaling_factor": tuple(factor / value for value in deviation), "shift_factor": tuple(mean)}
