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

from adiff_jax.app.footage import Footage, picture_footage, video_footage
from adiff_jax.app.sheets import draw_landmarks
from adiff_jax.data.synthetic import (
    Person,
    neutral_shape,
    project,
    render_clip,
    render_frame,
    sample_person,
    still,
)
from adiff_jax.media import motion_file
from adiff_jax.media.audio import Sound
from adiff_jax.media.crop import crop_image
from adiff_jax.media.errors import MediaError
from adiff_jax.media.files import existing_file
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.media.motion import estimate_neutral
from adiff_jax.media.pictures import is_picture, read_picture
from adiff_jax.media.transfer import resample

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
        footage: the whole picture or video; None if synthetic.
        shown: landmarks of the picture, if that is not at rest.
    """

    name: str
    picture: Picture
    neutral: Float32[np.ndarray, "478 3"]
    person: Person | None = None
    sha256: str | None = None
    footage: Footage | None = None
    shown: Float32[np.ndarray, "478 3"] | None = None

    @property
    def landmarks(self) -> Float32[np.ndarray, "478 3"]:
        """Of the picture, in [-1, 1] of the crop."""
        return self.neutral if self.shown is None else self.shown

    def crops(self) -> Iterator[Picture]:
        """The face crops of a video, from the start; of a picture or a drawn person the one, without end."""
        if self.footage is None or not self.footage.is_video:
            return itertools.repeat(self.picture)
        return self.footage.crops(len(self.picture))


@dataclasses.dataclass(frozen=True)
class Driving:
    """The motion to follow.

    Attributes:
        name: where it comes from, without folders.
        points: landmarks in each frame, x right and y down in [-1, 1] of the face crop.
        neutral: landmarks of the face at rest, on the same scale.
        times: of the frames, in seconds since the first.
        fps: average frames a second.
        audio: the sounds that belong to it.
        frames: opens the frames, cropped to the face, from the start.
        sha256: of the file; None if synthetic.
    """

    name: str
    points: Float32[np.ndarray, "F 478 3"]
    neutral: Float32[np.ndarray, "478 3"]
    times: Float[np.ndarray, "F"]
    fps: Fraction
    audio: tuple[Sound, ...]
    frames: Callable[[], Iterator[Picture]]
    sha256: str | None = None


def load_source(
    source: str | os.PathLike | UInt8[np.ndarray, "H W 3"],
    size: int,
    detector: DetectorFactory,
    face: int | None = None,
    max_frames: int | None = None,
    smooth: bool = True,
) -> Source:
    """Reads the person to animate.

    Of a video the frame with the least expression shows the person.

    Args:
        source: a picture or video file, an RGB picture, or `synthetic:SEED`.
        size: side of the crop in pixels.
        detector: see `DetectorFactory`.
        face: which face, from 1, left to right, of a video in its first frame that shows one; the largest by default.
        max_frames: how many frames of a video are read; all by default.
        smooth: smooth the landmarks of a video.

    Raises:
        MediaError: the file cannot be read or shows no face.
    """
    if (seed := _synthetic_seed(source)) is not None:
        return synthetic_source(seed, size)
    if isinstance(source, np.ndarray) or is_picture(source):
        image = source if isinstance(source, np.ndarray) else read_picture(source)
        name = "picture" if isinstance(source, np.ndarray) else Path(source).name
        footage = picture_footage(image, detector(), face)
        neutral = footage.points[0]
        picture = crop_image(image, footage.boxes[0], size)
        return Source(name, picture, neutral, sha256=fingerprint(source), footage=footage)
    path = Path(source)
    footage, track = video_footage(path, detector(), face, max_frames, smooth)
    calmest = int((track.blendshapes[:, 1:] ** 2).sum(axis=1).argmin())
    picture = next(itertools.islice(footage.crops(size), calmest, None))
    neutral = estimate_neutral(footage.points, track.blendshapes)
    shown = footage.points[calmest]
    return Source(path.name, picture, neutral, sha256=fingerprint(path), footage=footage, shown=shown)


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
    smooth: bool = True,
) -> Driving:
    """Reads the motion to follow; of a video only the landmarks are kept in memory.

    Args:
        driving: a video file, a motion file (`*.safetensors`), or `synthetic:SEED`.
        size: side of the crop in pixels.
        detector: see `DetectorFactory`.
        face: which face of the video, from 1, left to right in the first frame that shows one; the largest by default.
        max_frames: how many frames are read; all by default, of a synthetic clip `SYNTHETIC_FRAMES`.
        smooth: smooth the landmarks of a video.

    Raises:
        MediaError: the file cannot be read, or shows no face for more than half a second.
        ValueError: `max_frames` is below 1.
    """
    if max_frames is not None and max_frames < 1:
        raise ValueError(f"max_frames must be at least 1, not {max_frames}")
    if (seed := _synthetic_seed(driving)) is not None:
        return _synthetic_driving(seed, size, max_frames or SYNTHETIC_FRAMES)
    path = Path(driving)
    if path.suffix.lower() == motion_file.SUFFIX:
        return _recorded_driving(path, size, max_frames)
    footage, track = video_footage(path, detector(), face, max_frames, smooth)
    neutral = estimate_neutral(footage.points, track.blendshapes)
    return Driving(
        path.name,
        footage.points,
        neutral,
        footage.times,
        footage.fps,
        footage.audio,
        lambda: footage.crops(size),
        fingerprint(path),
    )


def save_motion(path: str | os.PathLike, driving: Driving) -> None:
    """Writes the motion without the video, for `load_driving`; see `media.motion_file`."""
    track = motion_file.MotionTrack(driving.points, driving.neutral, driving.times, driving.fps)
    motion_file.save_motion(path, track)


def retime(driving: Driving, footage: Footage) -> Driving:
    """The motion at the times of a source's video, as long as both last; landmarks are interpolated.

    Frames are the driver's nearest ones.
    """
    last = driving.times[-1] + 0.5 / float(driving.fps)
    times = footage.times[footage.times <= last]
    between = (driving.times[1:] + driving.times[:-1]) / 2
    nearest = np.searchsorted(between, times)

    def frames() -> Iterator[Picture]:
        number, stream = -1, driving.frames()
        for wanted in nearest:
            while number < wanted:
                frame, number = next(stream), number + 1
            yield frame

    points = resample(driving.points, driving.times, times)
    return dataclasses.replace(driving, points=points, times=times, fps=footage.fps, frames=frames)


def _recorded_driving(path: Path, size: int, max_frames: int | None) -> Driving:
    """A motion file, whose frames are drawings of its landmarks."""
    track = motion_file.load_motion(path, max_frames)
    return Driving(
        name=path.name,
        points=track.points,
        neutral=track.neutral,
        times=track.times,
        fps=track.fps,
        audio=(),
        frames=lambda: (draw_landmarks(points, size) for points in track.points),
        sha256=fingerprint(path),
    )


def _synthetic_driving(seed: int, size: int, num_frames: int) -> Driving:
    clip = render_clip(seed, num_frames=num_frames, size=size, fps=SYNTHETIC_FPS)
    return Driving(
        name=f"synthetic:{seed}",
        points=clip.landmarks,
        neutral=_at_rest(clip.person),
        times=clip.times,
        fps=Fraction(SYNTHETIC_FPS),
        audio=(),
        frames=lambda: iter(clip.frames),
    )


def _at_rest(person: Person) -> Float32[np.ndarray, "478 3"]:
    """Landmarks of a drawn person without expression, facing the camera."""
    return project(neutral_shape(person.shape), still())[0]


def _synthetic_seed(spec: str | os.PathLike | np.ndarray) -> int | None:
    """The seed in `synthetic:SEED`; None for anything else."""
    if not isinstance(spec, str) or not spec.startswith("synthetic:"):
        return None
    seed = spec.removeprefix("synthetic:")
    if not seed.isdecimal():
        raise MediaError(f"{spec!r} is not of the form synthetic:SEED with a whole number")
    return int(seed)
