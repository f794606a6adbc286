"""What is done to one video: pure functions from an input to its records."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from adiff_jax.data.schema import ClipInfo, ClipRecord
from adiff_jax.media.crop import crop_image, crop_track, normalise
from adiff_jax.media.errors import MediaError, NoFaceError
from adiff_jax.media.landmarks import FaceLandmarks, LandmarkDetector
from adiff_jax.media.video import Frame, read_video

Encoder = Callable[[UInt8[np.ndarray, "F H W 3"]], Float[np.ndarray, "F ..."]]


class ClipRejected(ValueError):
    """An input that gives no record.

    Attributes:
        reason: one of a few fixed words, to count by.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class Encoders:
    """Models that add to records; given as plain functions, so that preparation loads none itself.

    Attributes:
        name: which models these are, with their version; records encoded by another name are encoded anew.
        moments: RGB frames -> mean and log variance of the autoencoder's posterior [F, h, w, 2c].
        clip_image: RGB frames -> L2-normalised CLIP image embeddings [F, E].
    """

    name: str = "none"
    moments: Encoder | None = None
    clip_image: Encoder | None = None


def encode(record: ClipRecord, encoders: Encoders) -> ClipRecord:
    """The record with what the encoders add. They see the pictures as the record will store them, after JPEG."""
    if not (encoders.moments or encoders.clip_image):
        return record
    record = record.compressed()
    frames = record.frames[np.arange(len(record))]
    added = {
        name: np.asarray(encoder(frames), np.float16)
        for name, encoder in (("moments", encoders.moments), ("clip_image", encoders.clip_image))
        if encoder
    }
    return dataclasses.replace(record, **added)


def segments(found: Bool[np.ndarray, "F"], shortest: int, longest: int) -> list[slice]:
    """Cuts a track where the face was lost, and what remains into equal parts of at most `longest` frames.

    >>> segments(np.array([1, 1, 1, 0, 1, 1, 1, 1], bool), shortest=2, longest=3)
    [slice(0, 3, None), slice(4, 6, None), slice(6, 8, None)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found, [False]])))
    cut = []
    for start, stop in edges.reshape(-1, 2).tolist():
        parts = -(-(stop - start) // longest)
        borders = np.linspace(start, stop, parts + 1).round().astype(int).tolist()
        cut += [slice(*pair) for pair in itertools.pairwise(borders)]
    return [part for part in cut if part.stop - part.start >= shortest]


def video_clips(
    path: Path, name: str, detector: LandmarkDetector, *, size: int, shortest: int, longest: int
) -> Iterator[ClipRecord]:
    """The records of one video: landmarks of its face, cut to segments, each cropped with a box of its own.

    The video is read twice, so that at most one segment of small crops is in memory.

    Args:
        path: the video file.
        name: its name in the data set; prefix of the clips' ids.
        detector: finds the landmarks.
        size: height and width of the crops, in pixels.
        shortest: fewest frames of a clip.
        longest: most frames of a clip.

    Raises:
        ClipRejected: if the video cannot be read, shows no face, or never for long enough.
    """
    try:
        with read_video(path) as video:
            fps = float(video.fps)
            track = detector.video(video)
    except NoFaceError as error:
        raise ClipRejected("no face", str(error)) from error
    except MediaError as error:
        raise ClipRejected("unreadable", str(error)) from error
    parts = segments(track.found, shortest, longest)
    if not parts:
        raise ClipRejected("too short", f"{name}: the face is never seen for {shortest} frames on end")
    with read_video(path) as video:
        frames = enumerate(video)
        for part in parts:
            boxes = crop_track(track.points[part])
            crops = [crop_image(frame.image, boxes[index - part.start], size) for index, frame in _take(frames, part)]
            yield _record(name, part, np.stack(crops), track, boxes, fps)


def _take(frames: Iterator[tuple[int, Frame]], part: slice) -> Iterator[tuple[int, Frame]]:
    """The numbered frames of a part of the video."""
    for index, frame in frames:
        if index >= part.start:
            yield index, frame
        if index + 1 == part.stop:
            return


def _record(
    name: str,
    part: slice,
    crops: UInt8[np.ndarray, "F H W 3"],
    track: FaceLandmarks,
    boxes: Float[np.ndarray, "F 3"],
    fps: float,
) -> ClipRecord:
    return ClipRecord(
        info=ClipInfo(id=f"{name}#{part.start}", identity=name, source=name, fps=fps),
        frames=crops,
        times=track.times[part].astype(np.float64),
        landmarks=normalise(track.points[part], boxes).astype(np.float32),
        blendshapes=track.blendshapes[part],
        pose=track.pose[part],
    )
