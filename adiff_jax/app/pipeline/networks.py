"""The models of a bundle as functions of pictures, texts and latents, each compiled once."""

import functools
import itertools
from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, UInt8

from adiff_jax.data.captions import load_tokenizer, tokenize
from adiff_jax.data.transforms import to_float, to_uint8
from adiff_jax.models.autoencoder import (
    AutoencoderConfig,
    AutoencoderKL,
    posterior_mean,
    scale_latents,
    unscale_latents,
)
from adiff_jax.models.clip import CLIP, CLIPConfig
from adiff_jax.weights.bundle import Bundle
from adiff_jax.weights.tensors import Params

DECODE_BATCH = 8


class Networks:
    """Encoder, decoder and CLIP of a bundle."""

    def __init__(self, bundle: Bundle):
        self._bundle = bundle

    @functools.cached_property
    def _tokenizer(self):
        return load_tokenizer(self._bundle.tokenizer)

    def embed(self, picture: UInt8[np.ndarray, "R R 3"]) -> Float[Array, "E"]:
        """L2-normalised CLIP embedding of a picture."""
        return _embed(self._bundle.clip, self._bundle.clip_params, jnp.asarray(to_float(picture)))

    def embed_text(self, text: str) -> Float[Array, "E"]:
        """L2-normalised CLIP embedding of a text."""
        tokens = tokenize(self._tokenizer, [text], self._bundle.clip.context_length)
        return _embed_text(self._bundle.clip, self._bundle.clip_params, jnp.asarray(tokens))

    def encode(self, frames: UInt8[np.ndarray, "F R R 3"]) -> Float[Array, "F h w c"]:
        """Latents of pictures: the posterior's mean, scaled for diffusion."""
        bundle = self._bundle
        parts = [
            _encode(bundle.autoencoder, bundle.autoencoder_params, batch)[:count]
            for batch, count in _batches(jnp.asarray(to_float(frames)))
        ]
        return jnp.concatenate(parts)

    def encode_stream(self, frames: Iterable[UInt8[np.ndarray, "R R 3"]]) -> Iterator[Float32[np.ndarray, "N h w c"]]:
        """Latents of pictures that come one by one, a few at a time."""
        frames = iter(frames)
        while batch := list(itertools.islice(frames, DECODE_BATCH)):
            yield np.asarray(self.encode(np.stack(batch)))

    def decode(self, latents: Float[Array | np.ndarray, "F h w c"]) -> Iterator[UInt8[np.ndarray, "R R 3"]]:
        """Pictures of latents that were scaled for diffusion, decoded a few at a time."""
        bundle = self._bundle
        for batch, count in _batches(jnp.asarray(latents)):
            yield from to_uint8(np.asarray(_decode(bundle.autoencoder, bundle.autoencoder_params, batch))[:count])


@functools.partial(jax.jit, static_argnames="config")
def _embed(config: CLIPConfig, params: Params, picture: Float[Array, "R R 3"]) -> Float[Array, "E"]:
    pixels = jax.image.resize(picture, (config.image_size, config.image_size, 3), "cubic")
    embedding = CLIP(config).apply({"params": params}, pixels[None], method="encode_image")[0]
    return embedding / jnp.linalg.norm(embedding)


@functools.partial(jax.jit, static_argnames="config")
def _embed_text(config: CLIPConfig, params: Params, tokens: Int[Array, "1 L"]) -> Float[Array, "E"]:
    embedding = CLIP(config).apply({"params": params}, tokens, method="encode_text")[0]
    return embedding / jnp.linalg.norm(embedding)


@functools.partial(jax.jit, static_argnames="config")
def _encode(config: AutoencoderConfig, params: Params, frames: Float[Array, "N R R 3"]) -> Float[Array, "N h w c"]:
    moments = AutoencoderKL(config).apply({"params": params}, frames, method="encode")
    return scale_latents(config, posterior_mean(moments))


@functools.partial(jax.jit, static_argnames="config")
def _decode(config: AutoencoderConfig, params: Params, latents: Float[Array, "N h w c"]) -> Float[Array, "N R R 3"]:
    return AutoencoderKL(config).apply({"params": params}, unscale_latents(config, latents), method="decode")


def _batches(array: Float[Array, "F ..."]) -> Iterator[tuple[Float[Array, "N ..."], int]]:
    """Parts of `DECODE_BATCH`, and how much of each is true: the last one is padded, so that one shape is compiled."""
    for start in range(0, len(array), DECODE_BATCH):
        part = array[start : start + DECODE_BATCH]
        missing = DECODE_BATCH - len(part)
        yield jnp.concatenate([part, jnp.repeat(part[-1:], missing, axis=0)]), len(part)
