"""Trained models as plain functions for `prep`, which adds what they give to records."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, UInt8

from adiff_jax.data.source import sha256
from adiff_jax.data.transforms import to_float
from adiff_jax.models.autoencoder import AutoencoderConfig, AutoencoderKL
from adiff_jax.models.clip import CLIP, CLIPConfig
from adiff_jax.prep.stages import Encoder, Encoders
from adiff_jax.weights.bundle import load_component

BATCH = 16


def load_encoders(autoencoder: Path | None, clip: Path | None) -> Encoders:
    """Encoders from component folders (see `weights.bundle`); None leaves that field out of the records.

    Raises:
        WeightsError: a folder is not a complete component.
    """
    chosen = {name: folder for name, folder in (("autoencoder", autoencoder), ("clip", clip)) if folder}
    loaded = {
        "moments": _moments(*load_component(autoencoder, AutoencoderConfig)) if autoencoder else None,
        "clip_image": _embeddings(*load_component(clip, CLIPConfig)) if clip else None,
    }
    names = [f"{name} {sha256(folder / 'model.safetensors')[:12]}" for name, folder in chosen.items()]
    return Encoders(name=", ".join(names) or "none", **loaded)


def _moments(config: AutoencoderConfig, params: dict) -> Encoder:
    def encode(frames: Float[Array, "N H W 3"]) -> Float[Array, "N h w c2"]:
        return AutoencoderKL(config).apply({"params": params}, frames, method="encode")

    return _in_batches(encode)


def _embeddings(config: CLIPConfig, params: dict) -> Encoder:
    def embed(frames: Float[Array, "N H W 3"]) -> Float[Array, "N E"]:
        size = config.image_size
        pixels = jax.image.resize(frames, (len(frames), size, size, 3), "cubic")
        embeddings = CLIP(config).apply({"params": params}, pixels, method="encode_image")
        return embeddings / jnp.linalg.norm(embeddings, axis=-1, keepdims=True)

    return _in_batches(embed)


def _in_batches(function: Callable[[Float[Array, "N H W 3"]], Float[Array, "N ..."]]) -> Encoder:
    """Takes a function of pictures in [-1, 1] over any number of uint8 ones, compiled once, for `BATCH` of them."""
    compiled = jax.jit(function)

    def run(frames: UInt8[np.ndarray, "F H W 3"]) -> Float32[np.ndarray, "F ..."]:
        padded = np.concatenate([frames, np.repeat(frames[-1:], -len(frames) % BATCH, axis=0)])
        parts = [compiled(to_float(padded[start : start + BATCH])) for start in range(0, len(padded), BATCH)]
        return np.concatenate(parts)[: len(frames)]

    return run
