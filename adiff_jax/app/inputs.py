"""What goes in: who (the source) and how the face moves (the driver), both seen in their face crop."""

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, UInt8

from adiff_jax.data.synthetic import (
    Motion,
    Person,
    neutral_shape,
    project,
    render_clip,
    render_frame,
    sample_person,
)
from adiff_jax.data.synthetic.mesh import NUM_LANDMARKS
from adiff_jax.media.crop import crop_image, crop_track, normalise
from adiff_jax.media.errors import MediaError
from adiff_jax.media.files import existing_file
from adiff_jax.media.landmarks import LandmarkDetector, fill_missing
from adiff_jax.media.motion import estimate_neutral
from adiff_jax.media.pictures import read_picture
from adiff_jax.media.video import read_video

SYNTHETIC_FRAMES = 48
SYNTHETIC_FPS = 25.0

Picture = UInt8[np.ndarray, "R R 3"]
DetectorFactory = Callable[[], LandmarkDetector]
"""Hands out the detector; called only where it is needed, since synthetic inputs bring their landmarks along."""


@dataclasses.dataclass(frozen=True)
class Source:
    """The person to animate.

    Attributes:
        name: where it comes from, without folders.
        picture: the face crop.
        neutral: landmarks of the picture, x right and y down in [-1, 1] of the crop.
        person: who it is, if synthetic.
        sha256: of the file, or of the pixels of a picture given as such; None if synthetic.
    """

    name: str
    picture: Picture
    neutral: Float32[np.ndarray, "478 3"]
    person: Person | None = None
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class Driving:
    """The motion to follow.

    Attributes:
        name: where it comes from, without folders.
        points: landmarks in each frame, x right and y down in [-1, 1] of the face crop.
        neutral: landmarks of the face at rest, on the same scale.
        times: of the frames, in seconds since the first.
        fps: average frames a second.
        audio: the file whose sound belongs to it.
        frames: opens the frames, cropped to the face, from the start.
        sha256: of the file; None if synthetic.
    """

    name: str
    points: Float32[np.ndarray, "F 478 3"]
    neutral: Float32[np.ndarray, "478 3"]
    times: Float[np.ndarray, "F"]
    fps: Fraction
    audio: Path | None
    frames: Callable[[], Iterator[Picture]]
    sha256: str | None = None


def load_source(
    source: str | os.PathLike | UInt8[np.ndarray, "H W 3"],
    size: int,
    detector: DetectorFactory,
    face: int | None = None,
) -> Source:
    """Reads the person to animate.

    Args:
        source: a picture file, an RGB picture, or `synthetic:SEED`.
        size: side of the crop in pixels.
        detector: see `DetectorFactory`.
        face: which face of the picture, from 1, left to right; the largest by default.

    Raises:
        MediaError: the picture cannot be read or shows no face.
    """
    if (seed := _synthetic_seed(source)) is not None:
        return synthetic_source(seed, size)
    image = source if isinstance(source, np.ndarray) else read_picture(source)
    track = detector().picture(image, face)
    boxes = crop_track(track.points)
    name = "picture" if isinstance(source, np.ndarray) else Path(source).name
    (neutral,) = normalise(track.points, boxes).astype(np.float32)
    return Source(name, crop_image(image, boxes[0], size), neutral, sha256=fingerprint(source))


def fingerprint(source: str | os.PathLike | UInt8[np.ndarray, "H W 3"]) -> str | None:
    """SHA-256 of a file, or of an RGB picture's pixels, in hexadecimal; None for `synthetic:SEED`.

    Raises:
        MediaError: there is no such file.
    """
    if isinstance(source, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(source)).hexdigest()
    if _synthetic_seed(source) is not None:
        return None
    with existing_file(source, "picture or video").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def synthetic_source(seed: int, size: int) -> Source:
    """A drawn person at rest, facing the camera."""
    person = sample_person(seed)
    neutral = _at_rest(person)
    return Source(f"synthetic:{seed}", render_frame(person, neutral, size), neutral, person)


def load_driving(
    driving: str | os.PathLike,
    size: int,
    detector: DetectorFactory,
    face: int | None = None,
    max_frames: int | None = None,
) -> Driving:
    """Reads the motion to follow; of a video only the landmarks are kept in memory.

    Args:
        driving: a video file, or `synthetic:SEED`.
        size: side of the crop in pixels.
        detector: see `DetectorFactory`.
        face: which face of the video, from 1, left to right in the first frame that shows one; the largest by default.
        max_frames: how many frames are read; all by default, of a synthetic clip `SYNTHETIC_FRAMES`.

    Raises:
        MediaError: the video cannot be read, or shows no face for more than half a second.
        ValueError: `max_frames` is below 1.
    """
    if max_frames is not None and max_frames < 1:
        raise ValueError(f"max_frames must be at least 1, not {max_frames}")
    if (seed := _synthetic_seed(driving)) is not None:
        return _synthetic_driving(seed, size, max_frames or SYNTHETIC_FRAMES)
    path = Path(driving)
    with read_video(path) as video:
        track = fill_missing(detector().video(itertools.islice(video, max_frames), face))
        fps = video.fps
    boxes = crop_track(track.points)
    points = normalise(track.points, boxes).astype(np.float32)

    def frames() -> Iterator[Picture]:
        with read_video(path) as video:
            for index, frame in enumerate(itertools.islice(video, max_frames)):
                yield crop_image(frame.image, boxes[index], size)

    neutral = estimate_neutral(points, track.blendshapes)
    return Driving(path.name, points, neutral, track.times, fps, path, frames, fingerprint(path))


def _synthetic_driving(seed: int, size: int, num_frames: int) -> Driving:
    clip = render_clip(seed, num_frames=num_frames, size=size, fps=SYNTHETIC_FPS)
    return Driving(
        name=f"synthetic:{seed}",
        points=clip.landmarks,
        neutral=_at_rest(clip.person),
        times=clip.times,
        fps=Fraction(SYNTHETIC_FPS),
        audio=None,
        frames=lambda: iter(clip.frames),
    )


def _at_rest(person: Person) -> Float32[np.ndarray, "478 3"]:
    """Landmarks of a drawn person without expression, facing the camera."""
    rest = Motion(
        expression=np.zeros((1, NUM_LANDMARKS, 3)),
        rotation=np.eye(3)[None],
        translation=np.zeros((1, 2)),
        scale=np.ones(1),
    )
    return project(neutral_shape(person.shape), rest)[0]


def _synthetic_seed(spec: str | os.PathLike | np.ndarray) -> int | None:
    """The seed in `synthetic:SEED`; None for anything else."""
    if not isinstance(spec, str) or not spec.startswith("synthetic:"):
        return None
    seed = spec.removeprefix("synthetic:")
    if not seed.isdecimal():
        raise MediaError(f"{spec!r} is not of the form synthetic:SEED with a whole number")
    return int(seed)
