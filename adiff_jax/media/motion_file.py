"""Motion without the video: the landmark track of a driver in a safetensors file, to keep, reuse and share."""

import dataclasses
import os
import re
from fractions import Fraction

import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float, Float32

from adiff_jax.media.errors import MediaError
from adiff_jax.media.files import existing_file, write_aside

SUFFIX = ".safetensors"
_FORMAT = "adiff_jax motion 1"


@dataclasses.dataclass(frozen=True)
class MotionTrack:
    """How a face moves.

    Attributes:
        points: landmarks in each frame, x right and y down in [-1, 1] of the face crop, z on the same scale.
        neutral: landmarks of the face at rest, on the same scale.
        times: of the frames, in seconds, rising.
        fps: average frames a second.
    """

    points: Float32[np.ndarray, "F 478 3"]
    neutral: Float32[np.ndarray, "478 3"]
    times: Float[np.ndarray, "F"]
    fps: Fraction


def save_motion(path: str | os.PathLike, motion: MotionTrack) -> None:
    """Writes a motion file, complete or not at all; its size is about 5.7 kB a frame.

    Raises:
        MediaError: the name does not end in `SUFFIX`, or `path` cannot be written.
    """
    check_name(path)
    tensors = {"points": motion.points, "neutral": motion.neutral, "times": motion.times.astype(np.float64)}
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    with write_aside(path) as aside:
        aside.write_bytes(safetensors.numpy.save(tensors, {"format": _FORMAT, "fps": str(motion.fps)}))


def check_name(path: str | os.PathLike) -> None:
    """Refuses a name that no motion file has; for checks before the work.

    Raises:
        MediaError: the name does not end in `SUFFIX`.
    """
    if not str(path).lower().endswith(SUFFIX):
        raise MediaError(f"{path}: a motion file's name ends in {SUFFIX}")


def load_motion(path: str | os.PathLike, max_frames: int | None = None) -> MotionTrack:
    """Reads a motion file; nothing in it is executed.

    Args:
        path: the file.
        max_frames: how many frames are read; all by default.

    Raises:
        MediaError: `path` does not exist, is not a motion file, or holds what no motion is.
    """
    path = existing_file(path, "motion file")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise MediaError(f"{path}: not a motion file that this version reads (made by --save-motion)")
            neutral = file.get_tensor("neutral")
            points, times = file.get_slice("points")[:max_frames], file.get_slice("times")[:max_frames]
            fps = _rate(metadata["fps"])
    except (safetensors.SafetensorError, OSError, KeyError, ValueError, ZeroDivisionError) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError(f"{path}: not a motion file ({error})") from error
    shapes = points.shape == (len(times), 478, 3) and neutral.shape == (478, 3) and times.ndim == 1 and len(times) > 0
    kinds = points.dtype == neutral.dtype == np.float32 and times.dtype == np.float64
    if not shapes or not kinds or not all(np.isfinite(array).all() for array in (points, neutral, times)):
        raise MediaError(f"{path}: a damaged motion file: landmarks of 478 points and rising times are expected")
    if not (np.diff(times) > 0).all() or not 0 < fps <= 1000:
        raise MediaError(f"{path}: a damaged motion file: its times do not rise, or its rate is not a rate")
    return MotionTrack(points, neutral, times, fps)


def _rate(text: str) -> Fraction:
    """A whole number or a fraction of two; an exponent, which `Fraction` would write out, is refused."""
    if not re.fullmatch(r"\d{1,10}(/\d{1,10})?", text):
        raise ValueError("its rate is not a rate")
    return Fraction(text)
