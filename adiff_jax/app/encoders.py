"""Trained models as plain functions for `prep`, which adds what they give to records."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, UInt8

from adiff_jax.data.captions import load_tokenizer, tokenize
from adiff_jax.data.source import sha256
from adiff_jax.data.transforms import to_float
from adiff_jax.evals.identity import Recogniser, drawn_recogniser, real_recogniser
from adiff_jax.models.autoencoder import AutoencoderConfig, AutoencoderKL
from adiff_jax.models.clip import CLIP, CLIPConfig
from adiff_jax.prep.stages import Encoder, Encoders, TextEncoder
from adiff_jax.weights.bundle import load_component
from adiff_jax.weights.modality import FILE as MODALITY
from adiff_jax.weights.modality import Modality, unit
from adiff_jax.weights.tensors import Params

BATCH = 16


def load_encoders(autoencoder: Path | None, clip: Path | None, identity: str | None = None) -> Encoders:
    """Encoders from component folders (see `weights.bundle`); None leaves that field out of the records.

    They can be sent to other processes, which read the folders anew.

    Args:
        autoencoder: folder of an autoencoder.
        clip: folder of a CLIP; with its `modality.safetensors`, and its tokenizer beside it, for captions too.
        identity: `drawn` for the recogniser in the package, `real` for that of real faces (`evals.identity`), or the
            folder of a trained one.

    Raises:
        WeightsError: a folder is not a complete component.
        ValueError: the recogniser of real faces has no weights, or the tokenizer is not there.
    """
    loaded: dict[str, Callable] = {}
    names = []
    components = (("autoencoder", "moments", _moments, autoencoder), ("clip", "clip_image", _embeddings, clip))
    for name, field, make, folder in components:
        if folder:
            digest = sha256(folder / "model.safetensors") if (folder / "model.safetensors").is_file() else ""
            _loaded(make, folder, digest)  # for the error, if there is one
            loaded[field] = functools.partial(_encode, make, folder, digest)
            names.append(f"{name} {digest[:12]}")
    if clip and (clip / MODALITY).is_file():
        digest = sha256(clip / MODALITY)
        _loaded(_texts, clip, digest)
        loaded["clip_text"] = functools.partial(_encode, _texts, clip, digest)
        names.append(f"captions {digest[:12]}")
    if identity:
        names.append(f"identity by {_recogniser(identity).name}")
        loaded["face"] = functools.partial(_recognise, identity)
    return Encoders(name=", ".join(names) or "none", **loaded)


def _encode(make: Callable[[Path], Callable], folder: Path, digest: str, given):
    return _loaded(make, folder, digest)(given)


@functools.cache
def _loaded(make: Callable[[Path], Callable], folder: Path, digest: str) -> Callable:
    """The encoder of a folder whose weights have that SHA-256; loaded once a process."""
    return make(folder)


@functools.cache
def _recogniser(identity: str) -> Recogniser:
    match identity:
        case "drawn":
            return drawn_recogniser()
        case "real":
            return real_recogniser()
        case _:
            return drawn_recogniser(identity)


def _recognise(identity: str, frames: UInt8[np.ndarray, "F H W 3"], landmarks: Float32[np.ndarray, "F K P"]):
    return _recogniser(identity)(frames, landmarks[..., :2])


def _moments(folder: Path) -> Encoder:
    config, params = load_component(folder, AutoencoderConfig)

    def encode(frames: Float[Array, "N H W 3"]) -> Float[Array, "N h w c2"]:
        return AutoencoderKL(config).apply({"params": params}, frames, method="encode")

    return _in_batches(encode)


def _embeddings(folder: Path) -> Encoder:
    config, params = load_component(folder, CLIPConfig)

    def embed(frames: Float[Array, "N H W 3"]) -> Float[Array, "N E"]:
        size = config.image_size
        pixels = jax.image.resize(frames, (len(frames), size, size, 3), "cubic")
        embeddings = CLIP(config).apply({"params": params}, pixels, method="encode_image")
        return embeddings / jnp.linalg.norm(embeddings, axis=-1, keepdims=True)

    return _in_batches(embed)


def _texts(folder: Path) -> TextEncoder:
    config, params = load_component(folder, CLIPConfig)
    modality = Modality.load(folder, config.projection_dim)
    tokenizer = load_tokenizer(folder.parent / "tokenizer")

    @jax.jit
    def embed(params: Params, tokens: Int[Array, "1 L"]) -> Float[Array, "1 E"]:
        return modality.to_pictures(unit(CLIP(config).apply({"params": params}, tokens, method="encode_text")))

    def run(captions: Sequence[str]) -> Float32[np.ndarray, "C E"]:
        rows = [embed(params, tokenize(tokenizer, [caption], config.context_length)) for caption in captions]
        return np.concatenate([np.zeros((0, config.projection_dim), np.float32), *rows])

    return run


def _in_batches(function: Callable[[Float[Array, "N H W 3"]], Float[Array, "N ..."]]) -> Encoder:
    """Takes a function of pictures in [-1, 1] over any number of uint8 ones, compiled once, for `BATCH` of them."""
    compiled = jax.jit(function)

    def run(frames: UInt8[np.ndarray, "F H W 3"]) -> Float32[np.ndarray, "F ..."]:
        padded = np.concatenate([frames, np.repeat(frames[-1:], -len(frames) % BATCH, axis=0)])
        parts = [compiled(to_float(padded[start : start + BATCH])) for start in range(0, len(padded), BATCH)]
        return np.concatenate(parts)[: len(frames)]

    return run
