"""The pipeline: inputs in, lazy videos out."""

import dataclasses
import functools
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float32, UInt8

from adiff_jax.app.following import follow_motion
from adiff_jax.app.footage import Canvas
from adiff_jax.app.inputs import Driving, Source, load_driving, load_source
from adiff_jax.app.inputs import save_motion as write_motion
from adiff_jax.app.motion_options import MotionOptions
from adiff_jax.app.options import EditOptions, SamplingOptions, TextSamplingOptions
from adiff_jax.app.pipeline.cards import text_card
from adiff_jax.app.pipeline.latents import Commission, Known, Latents, Photograph
from adiff_jax.app.pipeline.networks import Networks
from adiff_jax.app.pipeline.texts import Texts
from adiff_jax.app.pipeline.video import GeneratedVideo, Origin, follow
from adiff_jax.app.progress import Progress
from adiff_jax.app.sheets import pick_frames
from adiff_jax.media.errors import MediaError
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.media.motion_file import SUFFIX as MOTION_SUFFIX
from adiff_jax.runtime.sharding import make_mesh
from adiff_jax.weights.bundle import DEFAULT_BUNDLE, Bundle
from adiff_jax.weights.hub import upload, with_metadata
from adiff_jax.weights.modality import unit

MOTION_OPTIONS = {field.name for field in dataclasses.fields(MotionOptions)}
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
        mesh: devices that groups are spread over, along its axis `group`; by default all that this process has.
    """

    def __init__(self, bundle: Bundle, landmark_model: str | os.PathLike | None = None, mesh: Mesh | None = None):
        self.bundle = bundle = bundle.on_device()
        self.mesh = mesh
        if mesh is None and len(devices := jax.local_devices()) > 1:
            self.mesh = make_mesh({"group": -1}, devices)
        self._landmark_model = landmark_model
        self._networks = Networks(bundle)
        self._texts = Texts(bundle, self._networks)

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
        pin_source: bool = True,
        pinned: Mapping[int, UInt8[np.ndarray, "R R 3"]] | None = None,
        face: int | None = None,
        driver_face: int | None = None,
        max_frames: int | None = None,
        smooth: bool = True,
        save_motion: str | os.PathLike | None = None,
        workdir: str | os.PathLike | None = None,
        resume: bool = False,
        progress: Progress | None = None,
        **options: Any,
    ) -> GeneratedVideo:
        """Makes the person of `source` move as the face in `driving` does.

        The shape of the face is the source's, the motion the driver's, or the part of it that `MotionOptions` name.
        With a picture as the source the result has the driver's frames, one for one; with a video the source's, as
        long as both last, with the driver's motion at their times.

        Example:
            video = pipeline.reenact("me.jpg", "talk.mp4")
            export(video, "out.mp4", consent=consent)  # signed, see `app.export`

        Args:
            source: a picture or video file, an RGB picture, or `synthetic:SEED`.
            driving: a video file, a motion file (`inputs.save_motion`), or `synthetic:SEED`.
            pin_source: the source's picture, with its own landmarks, is the anchor of all groups, which ties the result
                to its pixels beyond the CLIP embedding. Without it, as in the paper, the anchor is a frame of the
                result; methods that share no anchor need that.
            pinned: face crops that are to be frames of the result as they are, by number; the others go with them.
            face: which face of the source, from 1, left to right; the largest by default.
            driver_face: which face of the driver, likewise.
            max_frames: how many frames of the driver are used; all by default.
            smooth: smooth the landmarks that are found, by a One-Euro filter.
            save_motion: file to write the driver's motion to, `*.safetensors`, for later calls.
            workdir: folder where latents are kept as they are made; a temporary one by default.
            resume: go on from what an interrupted call with the same arguments left in `workdir`.
            progress: called with the numbers of finished and of all denoising steps before the first and after each.
            options: of sampling and motion, see `SamplingOptions` and `MotionOptions`.

        Raises:
            MediaError: an input cannot be read or shows no face.
            ValueError: an option is out of range.
        """
        chosen = MotionOptions(**{name: options.pop(name) for name in MOTION_OPTIONS & options.keys()})
        settings = SamplingOptions(**options)
        person = load_source(source, self.size, lambda: self.detector, face, max_frames, smooth)
        motion = load_driving(driving, self.size, lambda: self.detector, driver_face, max_frames, smooth)
        if save_motion is not None:
            write_motion(save_motion, motion)
        motion, landmarks, canvas = follow_motion(person, motion, chosen)
        inputs = {"source": Origin(person.name, person.sha256), "driver": Origin(motion.name, motion.sha256)}
        commission = Commission(
            settings,
            self.embed(person.picture),
            (person.picture,),
            landmarks[..., :2],
            pinned=self._known(pinned),
            photograph=self._photograph(person) if pin_source else None,
        )
        latents = self._commissioned(commission, workdir, resume, progress)
        return self._video("reenacted", inputs, person, motion, landmarks, latents, chosen, canvas)

    def animate(
        self,
        prompt: str | os.PathLike | UInt8[np.ndarray, "H W 3"],
        driving: str | os.PathLike,
        *,
        pin_source: bool = True,
        pinned: Mapping[int, UInt8[np.ndarray, "R R 3"]] | None = None,
        face: int | None = None,
        max_frames: int | None = None,
        smooth: bool = True,
        workdir: str | os.PathLike | None = None,
        resume: bool = False,
        progress: Progress | None = None,
        **options: Any,
    ) -> GeneratedVideo:
        """Makes a person of the prompt's description move as the face in `driving` does.

        The shape of the face is the driver's too, since a text does not tell it.

        Example:
            video = pipeline.animate("a man with short black hair and glasses", "talk.mp4")

        Args:
            prompt: a text, as a `str`; or a picture of a person, as an RGB picture or the `Path` of a file.
            driving: a video file, or `synthetic:SEED`.
            pin_source: of a picture, see `reenact`; a text has no pixels.
            pinned: see `reenact`.
            face: see `reenact`.
            max_frames: see `reenact`.
            smooth: see `reenact`.
            workdir: see `reenact`.
            resume: see `reenact`.
            progress: see `reenact`.
            options: see `SamplingOptions`; of a text `TextSamplingOptions`.

        Raises:
            MediaError: an input cannot be read or shows no face.
            ValueError: an option is out of range, or the text is empty.
        """
        settings = (TextSamplingOptions if isinstance(prompt, str) else SamplingOptions)(**options)
        motion = load_driving(driving, self.size, lambda: self.detector, face, max_frames, smooth)
        if isinstance(prompt, str):
            embedding, shown = self._texts.person(prompt), prompt
            inputs = {"text": Origin(repr(prompt))}
            person, photograph = Source("text", text_card(prompt, self.size), motion.neutral), None
        else:
            person = load_source(prompt, self.size, lambda: self.detector, face)
            embedding, shown = self.embed(person.picture), person.picture
            photograph = self._photograph(person) if pin_source else None
            inputs = {"source": Origin(person.name, person.sha256)}
        inputs["driver"] = Origin(motion.name, motion.sha256)
        commission = Commission(
            settings, embedding, (shown,), motion.points[..., :2], pinned=self._known(pinned), photograph=photograph
        )
        latents = self._commissioned(commission, workdir, resume, progress)
        return self._video("animated", inputs, person, motion, motion.points, latents, MotionOptions(motion="absolute"))

    def edit(
        self,
        video: str | os.PathLike,
        prompt: str,
        *,
        origin: str | None = None,
        prompt_strength: float = EditOptions.text_strength,
        strength: float = EditOptions.strength,
        pinned: Mapping[int, UInt8[np.ndarray, "R R 3"]] | None = None,
        face: int | None = None,
        max_frames: int | None = None,
        smooth: bool = True,
        workdir: str | os.PathLike | None = None,
        resume: bool = False,
        progress: Progress | None = None,
        **options: Any,
    ) -> GeneratedVideo:
        """Changes the person of a video towards a text; motion, and what the text leaves open, stay.

        Example:
            video = pipeline.edit("talk.mp4", "a woman with black hair", origin="a woman with red hair", strength=0.6)

        Args:
            video: a video file, or `synthetic:SEED`.
            prompt: what the result shows: "a woman with black hair".
            origin: what the video shows, in words like the prompt's: "a woman with red hair"; the change is from it to
                the prompt. None takes the mean of all texts.
            prompt_strength: how far the person's embedding is moved from the one text to the other.
            strength: how much of the noise is added to the video, to be taken out again; 1 keeps nothing of it but the
                motion and the person, near 0 keeps nearly all.
            pinned: see `reenact`.
            face: see `reenact`.
            max_frames: see `reenact`.
            smooth: see `reenact`.
            workdir: see `reenact`.
            resume: see `reenact`.
            progress: see `reenact`.
            options: see `TextSamplingOptions`.

        Raises:
            MediaError: the video cannot be read or shows no face.
            ValueError: an option is out of range, or a text is empty.
        """
        settings = TextSamplingOptions(**options)
        if Path(video).suffix.lower() == MOTION_SUFFIX:
            raise MediaError(f"{video}: a motion file has no picture to edit; give the video itself")
        motion = load_driving(video, self.size, lambda: self.detector, face, max_frames, smooth)
        chosen = pick_frames(len(motion.points), EMBEDDED_FRAMES)
        seen = [frame for index, frame in enumerate(motion.frames()) if index in chosen]
        embedding = unit(jnp.mean(jnp.stack([self.embed(frame) for frame in seen]), axis=0))
        commission = Commission(
            settings,
            unit(embedding + prompt_strength * self._texts.direction(prompt, origin)),
            (*seen, prompt, origin, prompt_strength),
            motion.points[..., :2],
            start=lambda: np.concatenate([*self._networks.encode_stream(motion.frames())]),
            strength=strength,
            pinned=self._known(pinned),
        )
        latents = self._commissioned(commission, workdir, resume, progress)
        inputs = {"video": Origin(motion.name, motion.sha256), "text": Origin(repr(prompt))}
        person = Source(motion.name, seen[0], motion.neutral)
        return self._video("edited", inputs, person, motion, motion.points, latents, MotionOptions(motion="absolute"))

    def extend(
        self,
        video: GeneratedVideo,
        driving: str | os.PathLike,
        *,
        face: int | None = None,
        max_frames: int | None = None,
        smooth: bool = True,
        workdir: str | os.PathLike | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> GeneratedVideo:
        """Adds frames to a reenactment or animation: the same person, in the same scene, who moves on as in `driving`.

        The frames there are stay as they are, and the new ones are sampled against the same anchor.

        Example:
            longer = pipeline.extend(pipeline.reenact("me.jpg", "talk.mp4"), "more.mp4")

        Args:
            video: what is added to.
            driving: a video file, or `synthetic:SEED`.
            face: see `reenact`.
            max_frames: see `reenact`.
            smooth: see `reenact`.
            workdir: see `reenact`; may be that of `video`.
            resume: see `reenact`.
            progress: see `reenact`.

        Raises:
            MediaError: the driver cannot be read or shows no face.
            ValueError: the video is an edit, or of a method whose frames all depend on each other.
        """
        before = video.latents
        if not isinstance(before, Latents) or before.commission.start is not None:
            raise ValueError("an edited video cannot be added to: edit a longer one")
        if video.source.footage is not None and video.source.footage.is_video:
            raise ValueError("a reenactment of a video cannot be added to: it ends with the video")
        motion = load_driving(driving, self.size, lambda: self.detector, face, max_frames, smooth)
        shape = video.driving.neutral if video.action == "animated" else video.source.neutral
        motion, landmarks, _ = follow_motion(dataclasses.replace(video.source, neutral=shape), motion, video.motion)
        commission = dataclasses.replace(before.commission, landmarks=landmarks[..., :2], pinned={})
        latents = self._commissioned(commission, workdir, resume, progress, before)
        both = np.concatenate([video.landmarks, landmarks])
        return self._video(
            video.action,
            video.inputs | {f"driver {len(video)}": Origin(motion.name, motion.sha256)},
            video.source,
            follow(video.driving, motion),
            both,
            latents,
            video.motion,
            video.canvas and dataclasses.replace(video.canvas, landmarks=both),
        )

    def embed(self, picture: UInt8[np.ndarray, "R R 3"]) -> Float[Array, "E"]:
        """L2-normalised CLIP embedding of a picture."""
        return self._networks.embed(picture)

    def encode(self, frames: UInt8[np.ndarray, "F R R 3"]) -> Float[Array, "F h w c"]:
        """Latents of pictures: the posterior's mean, scaled for diffusion."""
        return self._networks.encode(frames)

    def decode(self, latents: Float[Array | np.ndarray, "F h w c"]) -> Iterator[UInt8[np.ndarray, "R R 3"]]:
        """Pictures of latents that were scaled for diffusion, decoded a few at a time."""
        return self._networks.decode(latents)

    def _photograph(self, person: Source) -> Photograph:
        return Photograph(person.picture, self._latent(person.picture), person.landmarks[:, :2])

    def _latent(self, picture: UInt8[np.ndarray, "R R 3"]) -> Float32[np.ndarray, "h w c"]:
        return np.asarray(self.encode(picture[None]))[0]

    def _known(self, pictures: Mapping[int, UInt8[np.ndarray, "R R 3"]] | None) -> dict[int, Known]:
        return {number: Known(picture, self._latent(picture)) for number, picture in (pictures or {}).items()}

    def _commissioned(
        self,
        commission: Commission,
        workdir: str | os.PathLike | None,
        resume: bool,
        progress: Progress | None,
        before: Latents | None = None,
    ) -> Latents:
        return Latents(
            self.bundle,
            commission,
            mesh=self.mesh,
            folder=workdir,
            resume=resume,
            before=before,
            progress=progress,
        )

    def _video(
        self,
        action: str,
        inputs: dict[str, Origin],
        person: Source,
        motion: Driving,
        landmarks: Float32[np.ndarray, "F 478 3"],
        latents: Latents,
        chosen: MotionOptions,
        canvas: Canvas | None = None,
    ) -> GeneratedVideo:
        bundle = self.bundle
        return GeneratedVideo(
            action=action,
            inputs=inputs,
            source=person,
            driving=motion,
            landmarks=landmarks,
            bundle=bundle.name,
            latents=latents,
            decode=self.decode,
            digests=bundle.digests,
            motion=chosen,
            canvas=canvas,
        )
