"""Videos of plain grey, and a detector that needs no model and sees a face in them; importable by worker processes."""

import contextlib
import os
import signal
import time
from pathlib import Path

import numpy as np

from adiff_jax.data.storage import LOCK
from adiff_jax.data.synthetic.mesh import VERTICES
from adiff_jax.media.errors import NoFaceError
from adiff_jax.media.landmarks import FaceLandmarks, LandmarkDetector
from adiff_jax.media.video import VideoWriter
from adiff_jax.prep.options import DuplicateOptions, FilterOptions, PrepareOptions
from adiff_jax.prep.stages import Encoders

OPTIONS = PrepareOptions(
    size=32,
    longest=8,
    shortest=4,
    inputs_per_shard=2,
    filters=FilterOptions.none(),
    duplicates=DuplicateOptions(duplicate_bits=-1),
)


class MeshDetector(LandmarkDetector):
    """Finds the canonical face in the middle of every frame that is not black."""

    def __init__(self):
        pass

    @contextlib.contextmanager
    def scanner(self):
        def scan(image):
            centre, half = np.array(image.shape[1::-1]) / 2, 20
            box = np.float32([*(centre - half), *(centre + half)])
            return box[None] if image.mean() > 10 else box[None][:0]

        yield scan

    def video(self, frames, face=None) -> FaceLandmarks:
        images, times = zip(*frames, strict=True)
        found = np.array([image.mean() > 10 for image in images])
        if not found.any():
            raise NoFaceError("no face found")
        height, width = images[0].shape[:2]
        points = (VERTICES * 2 + [width / 2, height / 2, 0]) * found[:, None, None]
        count = len(times)
        return FaceLandmarks(
            points=points.astype(np.float32),
            blendshapes=np.zeros((count, 52), np.float32),
            pose=np.tile(np.eye(4, dtype=np.float32), (count, 1, 1)),
            found=found,
            times=np.array(times),
        )


class SlowDetector(MeshDetector):
    """Takes its time, so that there is time to be killed in."""

    def __init__(self, seconds: float):
        self._seconds = seconds

    def video(self, frames, face=None) -> FaceLandmarks:
        time.sleep(self._seconds)
        return super().video(frames, face)


class DyingDetector(MeshDetector):
    """Kills its process at a video of a certain grey: `times` times, counted by files in `folder`, or always."""

    def __init__(self, folder: Path, grey: int, times: int | None = None):
        self._folder, self._grey, self._times = folder, grey, times

    def video(self, frames, face=None) -> FaceLandmarks:
        frames = list(frames)
        deaths = len(list(self._folder.iterdir()))
        if abs(frames[0].image.mean() - self._grey) < 4 and (self._times is None or deaths < self._times):
            (self._folder / str(deaths)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().video(iter(frames), face)


def encoders() -> Encoders:
    return Encoders("test", moments=_moments, clip_image=_clip_image)


def _moments(frames):
    return frames[:, ::8, ::8].astype(np.float32) / 255


def _clip_image(frames):
    return frames.mean(axis=(1, 2), dtype=np.float32)


def write_video(path: Path, levels: list[int]) -> None:
    """A video of plain grey frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, 25, (96, 96)) as video:
        for level in levels:
            video.write(np.full((96, 96, 3), level, np.uint8))


def write_videos(folder: Path, count: int) -> Path:
    """Videos of 50, 60, 70 ... levels of grey, of different lengths."""
    for index in range(count):
        write_video(folder / f"{index:02d}.mp4", [50 + 10 * index] * (6 + index))
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files but the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != LOCK)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
