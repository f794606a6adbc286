"""The pipeline: inputs in, lazy videos out."""

import dataclasses
import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, UInt8

from adiff_jax.app.inputs import Driving, Source, load_driving, load_source
from adiff_jax.app.options import SamplingOptions
from adiff_jax.app.pipeline.cards import text_card
from adiff_jax.app.pipeline.networks import Networks
from adiff_jax.app.pipeline.sampler import Latents
from adiff_jax.app.pipeline.video import GeneratedVideo
from adiff_jax.app.progress import Progress
from adiff_jax.app.sheets import pick_frames
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.media.motion import retarget
from adiff_jax.weights.bundle import DEFAULT_BUNDLE, Bundle
from adiff_jax.weights.hub import upload, with_metadata

EMBEDDED_FRAMES = 8  # of an edited video, whose mean embedding stands for the person


class AnchoredDiffusionPipeline:
    """Reenactment, animation from a text, and editing, with a bundle.

    Example:
        pipeline = AnchoredDiffusionPipeline.from_pretrained()
        for frame in pipeline.reenact("synthetic:7", "driver.mp4", seed=1):
            ...

    `options` of the methods are those of `SamplingOptions`: `num_inference_steps`, `guidance_clip`, `seed` ...

    Args:
        bundle: models and weights.
        landmark_model: MediaPipe's FaceLandmarker file; None looks it up, when a real picture or video needs it.
    """

    def __init__(self, bundle: Bundle, landmark_model: str | os.PathLike | None = None):
        self.bundle = bundle
        self._landmark_model = landmark_model
        self._networks = Networks(bundle)

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
        face: int | None = None,
        max_frames: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> GeneratedVideo:
        """Makes the person of `source` move as the face in `driving` does.

        The result has the driver's frames, one for one: nothing is resampled. Motion is relative: head pose and
        expression are the driver's, the shape of the face is the source's.

        Args:
            source: a picture file, an RGB picture, or `synthetic:SEED`.
            driving: a video file, or `synthetic:SEED`.
            face: which face, from 1, left to right; the largest by default.
            max_frames: how many frames of the driver are used; all by default.
            progress: called with the numbers of finished and of all denoising steps before the first and after each.
            options: of sampling, see `SamplingOptions`.

        Raises:
            MediaError: an input cannot be read or shows no face.
            ValueError: an option is out of range.
        """
        settings = SamplingOptions(**options)
        person = load_source(source, self.size, lambda: self.detector, face)
        motion = load_driving(driving, self.size, lambda: self.detector, face, max_frames)
        landmarks = retarget(motion.points, person.neutral, motion.neutral)
        inputs = {"source": person.name, "driver": motion.name}
        embedding = self.embed(person.picture)
        return self._video("reenacted", inputs, person, motion, landmarks, embedding, settings, progress)

    def animate(
        self,
        prompt: str | os.PathLike | UInt8[np.ndarray, "H W 3"],
        driving: str | os.PathLike,
        *,
        face: int | None = None,
        max_frames: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> GeneratedVideo:
        """Makes a person of the prompt's description move as the face in `driving` does.

        The shape of the face is the driver's too, since a text does not tell it.

        Args:
            prompt: a text, as a `str`; or a picture of a person, as an RGB picture or the `Path` of a file.
            driving: a video file, or `synthetic:SEED`.
            face: see `reenact`.
            max_frames: see `reenact`.
            progress: see `reenact`.
            options: see `SamplingOptions`.

        Raises:
            MediaError: an input cannot be read or shows no face.
            ValueError: an option is out of range, or the text is empty.
        """
        settings = SamplingOptions(**options)
        motion = load_driving(driving, self.size, lambda: self.detector, face, max_frames)
        if isinstance(prompt, str):
            embedding = self.embed_prompt(prompt)
            inputs = {"text": repr(prompt), "driver": motion.name}
            person = Source("text", text_card(prompt, self.size), motion.neutral)
        else:
            person = load_source(prompt, self.size, lambda: self.detector, face)
            embedding = self.embed(person.picture)
            inputs = {"source": person.name, "driver": motion.name}
        return self._video("animated", inputs, person, motion, motion.points, embedding, settings, progress)

    def edit(
        self,
        video: str | os.PathLike,
        prompt: str,
        *,
        origin: str | None = None,
        prompt_strength: float = 1.0,
        strength: float = 0.8,
        face: int | None = None,
        max_frames: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> GeneratedVideo:
        """Changes the person of a video towards a text; motion, and what the text leaves open, stay.

        Args:
            video: a video file, or `synthetic:SEED`.
            prompt: what the result shows: "a woman with black hair".
            origin: what the video shows, in words like the prompt's: "a woman with red hair"; the change is from it to
                the prompt. None takes the mean of all texts.
            prompt_strength: how far the person's embedding is moved from the one text to the other.
            strength: how much of the noise is added to the video, to be taken out again; 1 keeps nothing of it but the
                motion and the person, near 0 keeps nearly all.
            face: see `reenact`.
            max_frames: see `reenact`.
            progress: see `reenact`.
            options: see `SamplingOptions`.

        Raises:
            MediaError: the video cannot be read or shows no face.
            ValueError: an option is out of range, or a text is empty.
        """
        settings = SamplingOptions(**options)
        motion = load_driving(video, self.size, lambda: self.detector, face, max_frames)
        chosen = pick_frames(len(motion.points), EMBEDDED_FRAMES)
        seen = [frame for index, frame in enumerate(motion.frames()) if index in chosen]
        person = Source(motion.name, seen[0], motion.neutral)
        embedding = jnp.mean(jnp.stack([self.embed(frame) for frame in seen]), axis=0)
        embedding = _unit(embedding + prompt_strength * self.text_direction(prompt, origin))
        start = self.encode(np.stack(list(motion.frames())))
        inputs = {"video": motion.name, "text": repr(prompt)}
        return self._video(
            "edited", inputs, person, motion, motion.points, embedding, settings, progress, start, strength
        )

    def embed(self, picture: UInt8[np.ndarray, "R R 3"]) -> Float[Array, "E"]:
        """L2-normalised CLIP embedding of a picture."""
        return self._networks.embed(picture)

    def embed_prompt(self, prompt: str) -> Float[Array, "E"]:
        """CLIP embedding of a text, moved to where embeddings of pictures lie, L2-normalised."""
        return _unit(self._networks.embed_text(prompt))

    def text_direction(self, prompt: str, origin: str | None) -> Float[Array, "E"]:
        """From the CLIP embedding of the text `origin` to that of `prompt`."""
        return self._networks.embed_text(prompt) - self._networks.embed_text(origin or "a person")

    def encode(self, frames: UInt8[np.ndarray, "F R R 3"]) -> Float[Array, "F h w c"]:
        """Latents of pictures: the posterior's mean, scaled for diffusion."""
        return self._networks.encode(frames)

    def decode(self, latents: Float[Array | np.ndarray, "F h w c"]) -> Iterator[UInt8[np.ndarray, "R R 3"]]:
        """Pictures of latents that were scaled for diffusion, decoded a few at a time."""
        return self._networks.decode(latents)

    def _video(
        self,
        action: str,
        inputs: dict[str, str],
        person: Source,
        motion: Driving,
        landmarks: Float32[np.ndarray, "F 478 3"],
        embedding: Float[Array, "E"],
        settings: SamplingOptions,
        progress: Progress | None,
        start: Float[Array, "F h w c"] | None = None,
        strength: float = 1.0,
    ) -> GeneratedVideo:
        latents = Latents(self.bundle, settings, embedding, landmarks[..., :2], progress, start, strength)
        bundle = self.bundle
        return GeneratedVideo(
            action, inputs, person, motion, landmarks, bundle.name, latents, self.decode, bundle.digests
        )


def _unit(embedding: Float[Array, "E"]) -> Float[Array, "E"]:
    return embedding / jnp.linalg.norm(embedding)
