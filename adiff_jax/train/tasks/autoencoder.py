"""The autoencoder's training: sharp faces first, a latent that diffusion can learn second."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from adiff_jax.data.source import ClipSource
from adiff_jax.data.transforms import Transforms, autoencoder_transforms
from adiff_jax.diffusion.losses import RegionWeights, landmark_weights
from adiff_jax.models.autoencoder import (
    AutoencoderConfig,
    AutoencoderKL,
    kl_divergence,
    posterior_mean,
    posterior_sample,
    scale_latents,
    unscale_latents,
)
from adiff_jax.train.task import Batch, Params, Preview
from adiff_jax.train.tasks.pictures import as_bytes
from adiff_jax.weights.bundle import read_config, save_component

WEIGHT_CELL = 4  # pixels a side of the squares that share a weight
CHANGE = 0.1  # of a latent, for finite differences


@flax.struct.dataclass
class AutoencoderTask:
    """Reconstruction of single frames through a sample of the posterior.

        e = reconstruction - x
        loss = weighted mean(|e| + squared_weight e^2) + gradient_weight edges(e) + kl_weight KL

    The weights are larger on the face and largest on eyes and mouth. `edges` stands in for a pretrained perceptual
    loss. KL is in nats a latent value.

    With `decoder_noise` the encoder stays as it is, and the decoder learns to forgive what a diffusion model gets
    wrong: it sees scaled latents with Gaussian noise, of a deviation |N(0, decoder_noise)| that is drawn for each
    picture (noise-augmented decoding, Zheng et al. 2025, arXiv 2510.11690).

    Batches: `image` [B, H, W, 3] in [-1, 1] and `landmarks` [B, K, 2].
    """

    model: AutoencoderKL = flax.struct.field(pytree_node=False)
    regions: RegionWeights = flax.struct.field(pytree_node=False)
    squared_weight: float = flax.struct.field(pytree_node=False)
    gradient_weight: float = flax.struct.field(pytree_node=False)
    kl_weight: float = flax.struct.field(pytree_node=False)
    decoder_noise: float = flax.struct.field(pytree_node=False)
    separable: ClassVar[bool] = True

    @classmethod
    def create(cls, config: ml_collections.ConfigDict, source: ClipSource, workdir: Path) -> "AutoencoderTask":
        """From a config with `model` (`AutoencoderConfig`), `regions` (`RegionWeights`), `loss`, and `init_from`.

        Raises:
            ValueError: a decoder is to be trained alone, and `init_from` is not an autoencoder as `model` describes it.
        """
        model = AutoencoderConfig(**config.model)
        if config.loss.decoder_noise:
            model = with_scale_of(model, config.init_from)
        return cls(model=AutoencoderKL(model), regions=RegionWeights(**config.regions), **config.loss)

    def transforms(self, preview: bool = False) -> Transforms:
        """Single frames, augmented in training."""
        return autoencoder_transforms(flip=not preview, affine=not preview, jitter=not preview)

    def init(self, key: PRNGKeyArray, batch: Mapping[str, jax.ShapeDtypeStruct]) -> Params:
        """Parameters of the autoencoder."""
        return self.model.init(key, jnp.zeros((1, *batch["image"].shape[1:])))["params"]

    def loss(
        self, params: Params, batch: Batch, keys: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Mapping[str, Float[Array, ""]]]:
        """The loss above; logs `l1`, `psnr` (dB, of pictures in [0, 255]), `edges`, `kl` and `latent_std`."""
        image = batch["image"]
        moments = self.model.apply({"params": params}, image, method="encode")
        if self.decoder_noise:
            moments = jax.lax.stop_gradient(moments)
            latents = self._noisy_latents(moments, keys)
        else:
            latents = jax.vmap(posterior_sample)(keys, moments)
        reconstruction = self.model.apply({"params": params}, latents, method="decode")
        error = (reconstruction - image).astype(jnp.float32)
        height, width = image.shape[1] // WEIGHT_CELL, image.shape[2] // WEIGHT_CELL
        weights = landmark_weights(batch["landmarks"], (height, width), self.regions)
        pixels = jnp.abs(error) + self.squared_weight * jnp.square(error)
        pixels = jnp.mean(weights[..., None, None, None] * as_cells(pixels, height, width))
        edges = multiscale_gradient(error)
        latent = posterior_mean(moments)
        kl = jnp.mean(kl_divergence(moments)) / latent[0].size
        loss = pixels + self.gradient_weight * edges + self.kl_weight * kl
        metrics = {
            "l1": jnp.mean(jnp.abs(error)),
            "psnr": -10.0 * jnp.log10(jnp.mean(jnp.square(error)) / 4.0),
            "edges": edges,
            "kl": kl,
            "latent_std": jnp.std(latent),
        }
        return loss, metrics

    def preview(self, params: Params, batch: Batch, key: PRNGKeyArray) -> Preview:
        """Two rows: pictures and their reconstructions through the posterior's mean."""
        image = batch["image"]
        reconstruction, _ = self.model.apply({"params": params}, image)
        return Preview(as_bytes(jnp.stack([image, reconstruction])))

    def export(self, folder: Path, params: Params, batches: Iterable[Batch]) -> None:
        """Writes `autoencoder/`, with the scale of its latents measured over `batches`, see `channel_scales`."""
        if self.decoder_noise:  # the encoder's scale is known
            save_component(folder / "autoencoder", self.model.config, params)
            return
        measure = jax.jit(self._latents_and_gains)
        latents, gains = zip(*(jax.device_get(measure(params, batch["image"])) for batch in batches))
        latents = np.concatenate(latents).reshape(-1, self.model.config.latent_channels)
        shift, scale = channel_scales(latents, np.sqrt(np.mean(np.square(gains), axis=0)))
        config = dataclasses.replace(
            self.model.config, shift_factor=tuple(shift.tolist()), scaling_factor=tuple(scale.tolist())
        )
        save_component(folder / "autoencoder", config, params)

    def _noisy_latents(self, moments: Float[Array, "B h w c2"], keys: PRNGKeyArray) -> Float[Array, "B h w c"]:
        """Samples of the posterior with noise added where they are scaled."""
        sample_keys, level_keys, noise_keys = jax.vmap(jax.random.split, (0, None), 1)(keys, 3)
        latents = scale_latents(self.model.config, jax.vmap(posterior_sample)(sample_keys, moments))
        level = self.decoder_noise * jnp.abs(jax.vmap(jax.random.normal)(level_keys))[:, None, None, None]
        noise = jax.vmap(lambda key: jax.random.normal(key, latents.shape[1:]))(noise_keys)
        return unscale_latents(self.model.config, latents + level * noise)

    def _latents_and_gains(
        self, params: Params, image: Float[Array, "B H W C"]
    ) -> tuple[Float[Array, "B h w c"], Float[Array, "c"]]:
        """Sampled latents, and how far a small change in each of their channels moves a pixel (root mean square)."""
        sample_key, change_key = jax.random.split(jax.random.key(0))
        decode = functools.partial(self.model.apply, {"params": params}, method="decode")
        latents = posterior_sample(sample_key, self.model.apply({"params": params}, image, method="encode"))
        step = CHANGE * jax.random.rademacher(change_key, latents.shape[:-1], latents.dtype)[..., None]
        image = decode(latents)

        def gain(channel: Float[Array, "c"]) -> Float[Array, ""]:
            return jnp.sqrt(jnp.mean(jnp.square(decode(latents + step * channel) - image))) / CHANGE

        return latents, jax.lax.map(gain, jnp.eye(latents.shape[-1]))


def with_scale_of(model: AutoencoderConfig, component: str) -> AutoencoderConfig:
    """`model` with the scale of the trained autoencoder in the folder `component`.

    Raises:
        ValueError: they differ in more than the scale.
    """
    if not component:
        raise ValueError("loss.decoder_noise trains the decoder of an autoencoder that is there: set init_from to it")
    trained = read_config(component, AutoencoderConfig)
    scale = {"scaling_factor": trained.scaling_factor, "shift_factor": trained.shift_factor}
    if (scaled := dataclasses.replace(model, **scale)) != trained:
        raise ValueError(f"the autoencoder in {component} is not the one that the config's model describes")
    return scaled


def channel_scales(
    latents: Float[np.ndarray, "N c"], gains: Float[np.ndarray, "c"]
) -> tuple[Float[np.ndarray, "c"], Float[np.ndarray, "c"]]:
    """Shift and factor a channel that bring latents to mean 0 and variance 1 over all channels.

    Variances are shared out in proportion to what a channel's deviation does to the picture. Were they equal, noise
    would hide coarse and fine channels alike, and their errors would weigh alike; were they those of the pixels, fine
    channels would hardly count. So this lies half-way, and diffusion settles what is coarse before what is fine. A
    channel that the decoder ignores is kept at a tenth of the largest.
    """
    deviations = latents.std(axis=0, dtype=np.float64)
    weights = deviations * gains
    wanted = np.sqrt(np.maximum(weights, 0.01 * weights.max()))
    wanted /= np.sqrt(np.mean(np.square(wanted)))
    return latents.mean(axis=0), wanted / deviations


def as_cells(picture: Float[Array, "B H W C"], height: int, width: int) -> Float[Array, "B h w y x C"]:
    """A picture as `height` x `width` cells of equal size."""
    batch, rows, columns, channels = picture.shape
    return picture.reshape(batch, height, rows // height, width, columns // width, channels).swapaxes(2, 3)


def multiscale_gradient(error: Float[Array, "B H W C"], scales: int = 3) -> Float[Array, ""]:
    """Mean absolute finite difference of `error` along both axes, summed over picture pyramids of halving size.

    Since differences are linear, this compares the edges of a picture with those of its reconstruction.
    """
    total = jnp.zeros(())
    for scale in range(scales):
        if scale:
            error = as_cells(error, error.shape[1] // 2, error.shape[2] // 2).mean(axis=(3, 4))
        total += jnp.mean(jnp.abs(jnp.diff(error, axis=1))) + jnp.mean(jnp.abs(jnp.diff(error, axis=2)))
    return total
