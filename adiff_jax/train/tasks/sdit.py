"""The sequence diffusion transformer's training (method, sections 3 to 5)."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import flax.struct
import grain
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from adiff_jax.data.schema import ClipRecord, RecordError
from adiff_jax.data.source import ClipSource
from adiff_jax.data.transforms import Transforms, sdit_transforms
from adiff_jax.diffusion.losses import RegionWeights, landmark_weights, min_snr_weight, weighted_mse
from adiff_jax.diffusion.process import DiffusionConfig, Process
from adiff_jax.models.autoencoder import (
    AutoencoderConfig,
    AutoencoderKL,
    posterior_sample,
    scale_latents,
    unscale_latents,
)
from adiff_jax.models.clip import CLIP, CLIPConfig
from adiff_jax.models.sdit import SDiT, SDiTConfig
from adiff_jax.sampling.anchored import anchored
from adiff_jax.sampling.groups import anchored_plan
from adiff_jax.sampling.loop import sample
from adiff_jax.train.task import Batch, Params, Preview
from adiff_jax.train.tasks.pictures import as_bytes, resize
from adiff_jax.types import Conditioning
from adiff_jax.weights.bundle import load_component, save_component

FPS = 25.0
PREVIEWS = 2


@flax.struct.dataclass
class SDiTTask:
    """Landmark-weighted mean-square error of the denoiser, each condition dropped at random on its own.

    Batches: `landmarks` [B, S, K, 2], and either, from encoded records, `moments` [B, S, h, w, 2c] and `clip` [B, E],
    or `frames` [B, S, H, W, 3] and `clip_image` [B, H, W, 3] in [-1, 1], which the frozen models encode in the step.

    Attributes:
        min_snr_gamma: of the Min-SNR weight over diffusion times; 0 for none.
        drop_clip, drop_landmarks: probabilities of training without the condition.
        spacing, far_anchor: of training sequences, see `draw_sequence`.
        caption_share: of sequences that a caption's embedding describes, see `PickSequence`.
        encoded: whether records have moments and embeddings.
        preview_frames, preview_steps: length of sampled videos, and denoising steps.
        clip_params: None if records are encoded.
    """

    model: SDiT = flax.struct.field(pytree_node=False)
    diffusion: DiffusionConfig = flax.struct.field(pytree_node=False)
    autoencoder: AutoencoderKL = flax.struct.field(pytree_node=False)
    clip: CLIP | None = flax.struct.field(pytree_node=False)
    regions: RegionWeights = flax.struct.field(pytree_node=False)
    min_snr_gamma: float = flax.struct.field(pytree_node=False)
    drop_clip: float = flax.struct.field(pytree_node=False)
    drop_landmarks: float = flax.struct.field(pytree_node=False)
    spacing: str = flax.struct.field(pytree_node=False)
    far_anchor: float = flax.struct.field(pytree_node=False)
    caption_share: float = flax.struct.field(pytree_node=False)
    encoded: bool = flax.struct.field(pytree_node=False)
    preview_frames: int = flax.struct.field(pytree_node=False)
    preview_steps: int = flax.struct.field(pytree_node=False)
    process: Process
    autoencoder_params: Params
    clip_params: Params | None
    separable: ClassVar[bool] = True

    @classmethod
    def create(cls, config: ml_collections.ConfigDict, source: ClipSource, workdir: Path) -> "SDiTTask":
        """From a config with `model`, `diffusion`, `regions`, `loss`, `data`, and folders of the frozen models.

        Raises:
            ValueError: if the models do not fit each other, or captions are asked for of records not encoded.
        """
        if config.data.caption_share and not config.data.encoded:
            raise ValueError("data.caption_share needs encoded records: prepare them with --clip, set data.encoded")
        autoencoder, autoencoder_params = load_component(config.autoencoder, AutoencoderConfig)
        clip, clip_params = None, None
        if config.data.encoded:
            check_records(config, source[0])
        else:
            clip, clip_params = load_component(config.clip, CLIPConfig)
            check_fit("clip_dim", config.model.clip_dim, "the projections of CLIP", clip.projection_dim)
        check_fit("in_channels", config.model.in_channels, "the channels of the latents", autoencoder.latent_channels)
        return cls.of_models(config, autoencoder, autoencoder_params, clip, clip_params)

    @classmethod
    def of_models(
        cls,
        config: ml_collections.ConfigDict,
        autoencoder: AutoencoderConfig,
        autoencoder_params: Params | None,
        clip: CLIPConfig | None = None,
        clip_params: Params | None = None,
    ) -> "SDiTTask":
        """From a config, and frozen models that fit it. Without their weights it can be traced on encoded records."""
        diffusion = DiffusionConfig(**config.diffusion)
        return cls(
            model=SDiT(SDiTConfig(**config.model)),
            diffusion=diffusion,
            autoencoder=AutoencoderKL(autoencoder),
            clip=clip and CLIP(clip),
            regions=RegionWeights(**config.regions),
            **config.loss,
            spacing=config.data.spacing,
            far_anchor=config.data.far_anchor,
            caption_share=config.data.caption_share,
            encoded=config.data.encoded,
            **config.preview,
            process=Process.create(diffusion),
            autoencoder_params=autoencoder_params,
            clip_params=clip_params,
        )

    def transforms(self, preview: bool = False) -> Transforms:
        """Sequences of S frames that are not equally far apart; for previews, the beginnings of clips."""
        if not preview:
            return sdit_transforms(
                self.model.config.num_frames,
                self.spacing,
                encoded=self.encoded,
                far_anchor=self.far_anchor,
                caption_share=self.caption_share,
            )
        _, keep = sdit_transforms(self.preview_frames, encoded=self.encoded)
        return (FirstFrames(self.preview_frames, self.encoded), keep)

    def init(self, key: PRNGKeyArray, batch: Mapping[str, jax.ShapeDtypeStruct]) -> Params:
        """Parameters of the transformer."""
        config = self.model.config
        latents = jnp.zeros((1, config.num_frames, config.input_size, config.input_size, config.in_channels))
        landmarks = jnp.zeros((1, *batch["landmarks"].shape[1:]))
        cond = Conditioning.create(jnp.zeros((1, config.clip_dim)), landmarks)
        return self.model.init(key, latents, jnp.zeros(1), cond)["params"]

    def loss(
        self, params: Params, batch: Batch, keys: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Mapping[str, Float[Array, ""]]]:
        """The weighted error at one diffusion time a sequence; logs `mse`, the error without weights."""
        latent_keys, noise_keys, time_keys, clip_keys, landmark_keys = jax.vmap(jax.random.split, (0, None), 1)(keys, 5)
        x0, cond = self._encode(batch, latent_keys)
        cond = cond.replace(
            clip_mask=jax.vmap(jax.random.bernoulli, (0, None))(clip_keys, 1 - self.drop_clip),
            landmarks_mask=jax.vmap(jax.random.bernoulli, (0, None))(landmark_keys, 1 - self.drop_landmarks),
        )
        num_steps = self.process.schedule.num_steps
        t = jax.vmap(lambda key: jax.random.randint(key, (), 0, num_steps))(time_keys)
        noise = jax.vmap(lambda key: jax.random.normal(key, x0.shape[1:]))(noise_keys)
        z_t = self.process.corrupt(x0, noise, t)
        prediction = self.model.apply({"params": params}, z_t, t.astype(jnp.float32), cond).astype(jnp.float32)
        target = self.process.target(x0, noise, t)

        weights = landmark_weights(cond.landmarks, x0.shape[2:4], self.regions)
        error = weighted_mse(prediction, target, weights)
        if self.min_snr_gamma:
            error = error * min_snr_weight(self.process, t, self.min_snr_gamma)
        return error.mean(), {"mse": jnp.mean(jnp.square(prediction - target))}

    def preview(self, params: Params, batch: Batch, key: PRNGKeyArray) -> Preview:
        """Videos: each clip's own, beside it what is sampled from its landmarks and its CLIP embedding."""
        batch = jax.tree.map(lambda leaf: leaf[:PREVIEWS], batch)
        count = len(batch["landmarks"])  # a source may have one clip
        x0, cond = self._encode(batch, jax.random.split(key, count))
        plan = anchored_plan("shifted", x0.shape[1], self.model.config.num_frames)

        def denoise(z_t, t, cond):
            return self.model.apply({"params": params}, z_t, t, cond)

        def generate(index):
            one = jax.tree.map(lambda leaf: leaf[index][None], cond)
            video = anchored(denoise, one, plan)
            return sample(video, self.process, jax.random.fold_in(key, index), x0.shape[1:], steps=self.preview_steps)

        latents = jnp.concatenate([x0, jax.lax.map(generate, jnp.arange(count))])
        latents = unscale_latents(self.autoencoder.config, latents)

        def decode(latents):
            return self.autoencoder.apply({"params": self.autoencoder_params}, latents, method="decode")

        return Preview(as_bytes(jax.lax.map(decode, latents)), fps=FPS)

    def export(self, folder: Path, params: Params, batches: Iterable[Batch]) -> None:
        """Writes `sdit/` and `scheduler/`."""
        save_component(folder / "sdit", self.model.config, params)
        scheduler = folder / "scheduler" / "config.json"
        scheduler.parent.mkdir(exist_ok=True)
        scheduler.write_text(json.dumps(dataclasses.asdict(self.diffusion), indent=2) + "\n")

    def _encode(self, batch: Batch, keys: PRNGKeyArray) -> tuple[Float[Array, "B S h w c"], Conditioning]:
        """Latents, sampled and scaled, and the conditions, all given."""
        if self.encoded:
            moments, clip = batch["moments"], batch["clip"]
        else:
            moments = self.autoencoder.apply({"params": self.autoencoder_params}, batch["frames"], method="encode")
            images = resize(batch["clip_image"], self.clip.config.image_size)
            clip = self.clip.apply({"params": self.clip_params}, images, method="encode_image")
            clip = clip / jnp.linalg.norm(clip, axis=-1, keepdims=True)
        x0 = scale_latents(self.autoencoder.config, jax.vmap(posterior_sample)(keys, moments))
        return x0, Conditioning.create(clip, batch["landmarks"])


@dataclasses.dataclass(frozen=True)
class FirstFrames(grain.transforms.Map):
    """The beginning of a clip in time order, otherwise like `PickSequence`.

    Attributes:
        length: number of frames.
        encoded: True for moments and embeddings, False for pictures.
    """

    length: int
    encoded: bool

    def map(self, element: ClipRecord) -> dict[str, Any]:
        """Picks the frames.

        Raises:
            RecordError: if the clip is shorter.
        """
        if len(element) < self.length:
            raise RecordError(
                f"clip {element.info.id} has {len(element)} frames, previews need {self.length}: lower preview_frames"
            )
        frames = np.arange(self.length)
        example = {"landmarks": element.landmarks[frames, :, :2]}
        if self.encoded:
            moments, clip = element.moments[frames], element.clip_image[0]
            return example | {"moments": moments.astype(np.float32), "clip": clip.astype(np.float32)}
        pictures = element.frames[frames]
        return example | {"frames": pictures, "clip_image": pictures[0]}


def check_records(config: ml_collections.ConfigDict, clip: ClipRecord) -> None:
    """Raises `ValueError` if what a clip was encoded to does not fit the model."""
    model = config.model
    if clip.moments is not None:
        side, channels = clip.moments.shape[1], clip.moments.shape[-1] // 2
        check_fit("input_size", model.input_size, "the side of the latents of the records", side)
        check_fit("in_channels", model.in_channels, "the channels of the latents of the records", channels)
    if clip.clip_image is not None:
        check_fit("clip_dim", model.clip_dim, "the width of the embeddings of the records", clip.clip_image.shape[-1])


def check_fit(option: str, value: int, what: str, expected: int) -> None:
    """Raises `ValueError` if an option of the model disagrees with a frozen model."""
    if value != expected:
        raise ValueError(f"model.{option} is {value}, but must equal {what}, {expected}")
