"""The first look at a video: its shots, and in each the landmarks of one face."""

import base64
import collections
import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from adiff_jax.media.errors import NoFaceError
from adiff_jax.media.landmarks import FaceLandmarks, LandmarkDetector
from adiff_jax.media.video import Frame, VideoReader
from adiff_jax.prep.ahead import in_threads
from adiff_jax.prep.items import Item, Span
from adiff_jax.prep.options import FaceOptions, PrepareOptions
from adiff_jax.prep.shots import shots

Scan = Callable[[UInt8[np.ndarray, "H W 3"]], Float32[np.ndarray, "N 4"]]
"""Boxes (left, top, right, bottom) of all faces of a picture, from left to right."""

_BOX_MARGIN = 0.25  # of a given box, to each side: where the middle of its face may be
_THUMBNAIL = 96


@dataclasses.dataclass(frozen=True)
class Shot:
    """A shot of a video.

    Attributes:
        first: number of its first frame.
        frames: how many it has.
        start, stop: times of its first and last frame, in seconds.
        track: one face; None if there is none. It begins with frame `first`.
        searched: for each frame that was searched for other faces, its number in the shot and whether it shows one.
        picture: its first frame, small, as JPEG in base64.
    """

    first: int
    frames: int
    start: float
    stop: float
    track: FaceLandmarks | None
    searched: tuple[tuple[int, bool], ...]
    picture: str

    def crowded(self, part: slice) -> float:
        """Share of the searched frames of a part that show another face."""
        rivals = [rival for place, rival in self.searched if part.start <= place < part.stop]
        return sum(rivals) / len(rivals) if rivals else 0.0


@contextlib.contextmanager
def frames_of(video: VideoReader, span: Span, max_fps: float) -> Iterator[Iterator[Frame]]:
    """The frames of a part of a video, thinned to at most `max_fps`; some are read ahead, in a thread of their own."""
    start, stop = span.seconds(float(video.fps))
    inside = itertools.takewhile(lambda frame: frame.time < stop, video.since(max(start, 0.0)))
    frames = itertools.islice(inside, None, None, thinning(float(video.fps), max_fps))
    with in_threads(lambda _: next(frames, None), itertools.repeat(None)) as read:
        yield iter(read.__next__, None)


def thinning(fps: float, max_fps: float) -> int:
    """Every how many-th frame is taken; a video that is a twentieth faster than `max_fps` keeps all."""
    return max(1, math.ceil(fps / max_fps - 0.05))


def follow(video: VideoReader, item: Item, detector: LandmarkDetector, options: PrepareOptions) -> list[Shot]:
    """Reads the item's part of a video once, some frames in memory at a time, and follows a face through each shot."""
    box = item.box and np.array(item.box.pixels(video.width, video.height))
    found: list[Shot] = []
    with detector.scanner() as scan, frames_of(video, item.span, options.max_fps) as frames:
        for shot in shots(frames, options.shots):
            first = found[-1].first + found[-1].frames if found else 0
            watched = _Watched(shot, scan, options.faces.look_every)
            found.append(_follow_shot(watched, first, detector, box, options))
    return found


class _Watched:
    """Frames on their way to the detector: counts them, and searches some of them for all faces."""

    def __init__(self, frames: Iterable[Frame], scan: Scan, every: float):
        self._frames, self._every = iter(frames), every
        self.scan = scan
        self.boxes: dict[int, Float32[np.ndarray, "N 4"]] = {}
        self.times: list[float] = []
        self.picture = ""
        self._next = -math.inf

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            if not self.times:
                self.picture = thumbnail(frame.image)
            self.times.append(frame.time)
            if frame.time >= self._next:
                self.boxes[len(self.times) - 1] = self.scan(frame.image)
                self._next = frame.time + self._every - 1e-6
            yield frame


def _follow_shot(
    watched: _Watched, first: int, detector: LandmarkDetector, box: np.ndarray | None, options: PrepareOptions
) -> Shot:
    frames = iter(watched)
    track = None
    for frame in frames:
        place = len(watched.times) - 1
        if place not in watched.boxes:
            watched.boxes[place] = watched.scan(frame.image)
        face = _choose(watched.boxes[place], box)
        if face is not None:
            before = watched.times[:-1]
            track = _led_by(before, detector, itertools.chain([frame], frames), face)
            break
    collections.deque(frames, maxlen=0)  # what a detector that gave up has left
    times = watched.times
    searched = tuple(_searched(watched, track, box, options.faces)) if track else ()
    return Shot(first, len(times), times[0], times[-1], track, searched, watched.picture)


def _led_by(
    before: list[float], detector: LandmarkDetector, frames: Iterable[Frame], face: int
) -> FaceLandmarks | None:
    """The track of a face, with the frames before it, where it was not there yet."""
    try:
        track = detector.video(frames, face + 1)
    except NoFaceError:
        return None
    lead = len(before)
    pad = {name: np.zeros((lead, *getattr(track, name).shape[1:]), getattr(track, name).dtype) for name in _ARRAYS}
    arrays = {name: np.concatenate([pad[name], getattr(track, name)]) for name in _ARRAYS}
    return FaceLandmarks(**arrays, times=np.concatenate([np.array(before), track.times]))


_ARRAYS = ("points", "blendshapes", "pose", "found")


def _choose(boxes: Float32[np.ndarray, "N 4"], box: np.ndarray | None) -> int | None:
    """The face to follow: the largest, or that in the middle of the box."""
    if box is None:
        return int(_sides(boxes).argmax()) if len(boxes) else None
    inside = np.flatnonzero(_within(boxes, box))
    if not len(inside):
        return None
    return int(inside[np.linalg.norm(_centres(boxes[inside]) - _centres(box[None]), axis=1).argmin()])


def _searched(
    watched: _Watched, track: FaceLandmarks, box: np.ndarray | None, options: FaceOptions
) -> Iterator[tuple[int, bool]]:
    for place, boxes in watched.boxes.items():
        if place >= len(track) or not track.found[place]:
            continue
        points = track.points[place, :, :2]
        main = np.concatenate([points.min(axis=0), points.max(axis=0)])
        side = float(_sides(main[None])[0])
        away = np.linalg.norm(_centres(boxes) - _centres(main[None]), axis=1) > side / 3
        rivals = away & (_sides(boxes) >= (options.rival_size or np.inf) * side)
        if box is not None:
            rivals &= _within(boxes, box)
        yield place, bool(rivals.any())


def _within(boxes: Float32[np.ndarray, "N 4"], box: np.ndarray) -> np.ndarray:
    """Whether the middles lie in the box, with a margin."""
    margin = _BOX_MARGIN * (box[2:] - box[:2])
    centres = _centres(boxes)
    return ((centres >= box[:2] - margin) & (centres <= box[2:] + margin)).all(axis=1)


def _centres(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _sides(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).max(axis=1)


def thumbnail(image: UInt8[np.ndarray, "H W 3"]) -> str:
    """A picture at 96 pixels of height, as JPEG in base64."""
    height, width = image.shape[:2]
    size = (max(1, round(width * _THUMBNAIL / height)), _THUMBNAIL)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(data.tobytes()).decode()
