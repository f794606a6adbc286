"""The Python API: load a bundle, reenact.

source ──► face crop ──► CLIP ─────────────┐
              └─► neutral shape ─┐         ▼
driver ──► landmarks ──► retarget ──► anchored sampling ──► latents ──► decode ──► frames
"""

import dataclasses
import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Key, UInt8

from adiff_jax.app.inputs import Driving, Source, load_driving, load_source
from adiff_jax.app.progress import Progress, listening, tell
from adiff_jax.data.transforms import to_float, to_uint8
from adiff_jax.diffusion.guidance import guided
from adiff_jax.diffusion.process import Process
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.media.motion import retarget
from adiff_jax.models.autoencoder import (
    AutoencoderConfig,
    AutoencoderKL,
    posterior_mean,
    scale_latents,
    unscale_latents,
)
from adiff_jax.models.clip import CLIP, CLIPConfig
from adiff_jax.models.sdit import SDiT, SDiTConfig
from adiff_jax.sampling.anchored import Share, anchored
from adiff_jax.sampling.groups import Dealing, Plan, anchored_plan
from adiff_jax.sampling.loop import sample
from adiff_jax.sampling.steps import DDIM
from adiff_jax.types import Conditioning
from adiff_jax.weights.bundle import DEFAULT_BUNDLE, Bundle
from adiff_jax.weights.hub import upload, with_metadata
from adiff_jax.weights.tensors import Params

DECODE_BATCH = 8
GROUP_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Reenactment:
    """A video to be: an iterable of frames, uint8 [R, R, 3], sampled when the first is asked for.

    Attributes:
        source: the person.
        driving: the motion.
        landmarks: what the frames were asked to show, in [-1, 1] of the crop.
        bundle: name of the bundle.
        sample: makes the latents.
        decode: makes pictures of latents, a few at a time.
    """

    source: Source
    driving: Driving
    landmarks: Float32[np.ndarray, "F 478 3"]
    bundle: str
    sample: Callable[[], Float[Array, "F h w c"]]
    decode: Callable[[Float[Array, "F h w c"]], Iterator[UInt8[np.ndarray, "R R 3"]]]

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.landmarks)

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "R R 3"]]:
        """Frames in order, decoded as they are taken; the same at every pass."""
        yield from self.decode(self._latents)

    @functools.cached_property
    def _latents(self) -> Float[Array, "F h w c"]:
        return self.sample()


class AnchoredDiffusionPipeline:
    """Reenactment with a bundle.

    Example:
        pipeline = AnchoredDiffusionPipeline.from_pretrained()
        for frame in pipeline.reenact("synthetic:7", "driver.mp4", seed=1):
            ...

    Args:
        bundle: models and weights.
        landmark_model: MediaPipe's FaceLandmarker file; None looks it up, when a real picture or video needs it.
    """

    def __init__(self, bundle: Bundle, landmark_model: str | os.PathLike | None = None):
        self.bundle = bundle
        self._landmark_model = landmark_model

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike = DEFAULT_BUNDLE, **options: Any) -> "AnchoredDiffusionPipeline":
        """Loads a bundle: its directory, the name of a shipped one, or a repository of the Hugging Face hub.

        See `Bundle.load` for the errors.
        """
        return cls(Bundle.load(path), **options)

    def save_pretrained(self, path: str | os.PathLike, dtype: str = "float32") -> None:
        """Writes the bundle to a directory, which `from_pretrained` reads; see `Bundle.save`."""
        self.bundle.save(path, dtype)

    def push_to_hub(self, repo_id: str, *, private: bool = False, dtype: str = "float32") -> str:
        """Uploads the bundle with its card to a repository of the Hugging Face hub, from which `from_pretrained` loads.

        Args:
            repo_id: OWNER/NAME; made if it is not there.
            private: make a new repository private.
            dtype: what weights are stored as: `"float32"` or `"float16"`.

        Returns:
            The repository's address.

        Raises:
            WeightsError: the hub refuses, or cannot be reached.
        """
        labelled = dataclasses.replace(self.bundle, card=with_metadata(self.bundle.card))
        with tempfile.TemporaryDirectory() as folder:
            labelled.save(Path(folder) / "bundle", dtype)
            return upload(Path(folder) / "bundle", repo_id, private=private)

    @property
    def size(self) -> int:
        """Side of the generated pictures in pixels."""
        return self.bundle.sdit.input_size * self.bundle.autoencoder.downsampling

    @functools.cached_property
    def detector(self) -> LandmarkDetector:
        """MediaPipe's landmark detector, opened at first use."""
        return LandmarkDetector(self._landmark_model)

    def reenact(
        self,
        source: str | os.PathLike | UInt8[np.ndarray, "H W 3"],
        driving: str | os.PathLike,
        *,
        num_inference_steps: int = 50,
        eta: float = 1.0,
        plan: Dealing = "shifted",
        anchor: Share = "first",
        guidance_clip: float = 1.5,
        guidance_landmarks: float = 2.0,
        seed: int = 0,
        face: int | None = None,
        max_frames: int | None = None,
        progress: Progress | None = None,
    ) -> Reenactment:
        """Makes the person of `source` move as the face in `driving` does.

        The result has the driver's frames, one for one: nothing is resampled. Motion is relative: head pose and
        expression are the driver's, the shape of the face is the source's.

        Args:
            source: a picture file, an RGB picture, or `synthetic:SEED`.
            driving: a video file, or `synthetic:SEED`.
            num_inference_steps: denoising steps.
            eta: randomness of the steps: 0 is DDIM, 1 has DDPM's variance and keeps frames alike far better.
            plan: how frames are dealt into groups; see `sampling.groups.anchored_plan`.
            anchor: how groups share the anchor frame: `first` group's, or `mean` over groups.
            guidance_clip: weight of the source's CLIP embedding; 1 is no guidance.
            guidance_landmarks: weight of the landmarks; 1 is no guidance.
            seed: of the noise.
            face: which face, from 1, left to right; the largest by default.
            max_frames: how many frames of the driver are used; all by default.
            progress: called with the numbers of finished and of all denoising steps before the first and after each.

        Raises:
            MediaError: an input cannot be read or shows no face.
            ValueError: an option is out of range.
        """
        solver = DDIM(eta)
        person = load_source(source, self.size, lambda: self.detector, face)
        motion = load_driving(driving, self.size, lambda: self.detector, face, max_frames)
        landmarks = retarget(motion.points, person.neutral, motion.neutral)
        deal = anchored_plan(plan, len(landmarks), self.bundle.sdit.num_frames, seed=seed)

        sample_latents = functools.partial(
            _sample,
            self.bundle.sdit,
            self.bundle.sdit_params,
            self.bundle.process,
            jax.random.key(seed),
            self.embed(person.picture),
            jnp.asarray(landmarks[..., :2]),
            deal,
            steps=num_inference_steps,
            solver=solver,
            share=anchor,
            weights=(guidance_clip, guidance_landmarks),
        )
        if progress is not None:
            sample_latents = functools.partial(_reporting, sample_latents, num_inference_steps, progress)
        return Reenactment(person, motion, landmarks, self.bundle.name, sample_latents, self.decode)

    def embed(self, picture: UInt8[np.ndarray, "R R 3"]) -> Float[Array, "E"]:
        """L2-normalised CLIP embedding of a picture."""
        return _embed(self.bundle.clip, self.bundle.clip_params, jnp.asarray(to_float(picture)))

    def encode(self, frames: UInt8[np.ndarray, "F R R 3"]) -> Float[Array, "F h w c"]:
        """Latents of pictures: the posterior's mean, scaled for diffusion."""
        bundle = self.bundle
        parts = [
            _encode(bundle.autoencoder, bundle.autoencoder_params, batch)[:count]
            for batch, count in _batches(jnp.asarray(to_float(frames)))
        ]
        return jnp.concatenate(parts)

    def decode(self, latents: Float[Array, "F h w c"]) -> Iterator[UInt8[np.ndarray, "R R 3"]]:
        """Pictures of latents that were scaled for diffusion, decoded a few at a time."""
        bundle = self.bundle
        for batch, count in _batches(latents):
            yield from to_uint8(np.asarray(_decode(bundle.autoencoder, bundle.autoencoder_params, batch))[:count])


def _reporting(
    sample_latents: Callable[..., Float[Array, "F h w c"]], steps: int, progress: Progress
) -> Float[Array, "F h w c"]:
    """Samples, and reports each step."""
    progress(0, steps)
    with listening(lambda step: progress(step + 1, steps)) as listener:
        return sample_latents(listener=listener)


@functools.partial(jax.jit, static_argnames=("config", "steps", "solver", "share", "weights"))
def _sample(
    config: SDiTConfig,
    params: Params,
    process: Process,
    key: Key[Array, ""],
    embedding: Float[Array, "E"],
    landmarks: Float[Array, "F K 2"],
    plan: Plan,
    *,
    steps: int,
    solver: DDIM,
    share: Share,
    weights: tuple[float, float],
    listener: Int[Array, ""] | None = None,
) -> Float[Array, "F h w c"]:
    denoiser = guided(lambda z_t, t, cond: SDiT(config).apply({"params": params}, z_t, t, cond), *weights)
    cond = Conditioning.create(embedding[None], landmarks[None])
    shape = (len(landmarks), config.input_size, config.input_size, config.in_channels)
    video_denoiser = anchored(denoiser, cond, plan, share, GROUP_BATCH)
    on_step_end = None if listener is None else functools.partial(tell, listener)
    return sample(video_denoiser, process, key, shape, steps=steps, solver=solver, on_step_end=on_step_end)


@functools.partial(jax.jit, static_argnames="config")
def _embed(config: CLIPConfig, params: Params, picture: Float[Array, "R R 3"]) -> Float[Array, "E"]:
    pixels = jax.image.resize(picture, (config.image_size, config.image_size, 3), "cubic")
    embedding = CLIP(config).apply({"params": params}, pixels[None], method="encode_image")[0]
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
