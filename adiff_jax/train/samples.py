"""Previews on disk: a sheet of pictures, and a video where the pictures are one."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from adiff_jax.media.pictures import write_picture
from adiff_jax.media.video import VideoWriter
from adiff_jax.train.task import Preview


def write_samples(directory: Path, step: int, preview: Preview) -> None:
    """Writes `STEP.png`, the grid of pictures, and, for videos, `STEP.mp4`, the rows beside each other.

    Args:
        directory: made if it is not there.
        step: names the files.
        preview: pictures in host memory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    name = f"{step:07d}"
    write_picture(directory / f"{name}.png", sheet(preview.pictures))
    if preview.fps is not None:
        rows, _, height, width, _ = preview.pictures.shape
        size, comment = (rows * width, height), f"AI-generated video: a preview of training, step {step}"
        with VideoWriter(directory / f"{name}.mp4", Fraction(preview.fps), size, comment=comment) as video:
            for frame in preview.pictures.swapaxes(0, 1):
                video.write(np.concatenate(list(frame), axis=1))


def sheet(pictures: UInt8[np.ndarray, "rows columns H W 3"]) -> UInt8[np.ndarray, "rows_H columns_W 3"]:
    """One picture of a grid of pictures."""
    rows, columns, height, width, channels = pictures.shape
    return pictures.swapaxes(1, 2).reshape(rows * height, columns * width, channels)
