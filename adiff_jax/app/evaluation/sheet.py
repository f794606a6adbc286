"""Contact sheets of several ways to make one video, as in the paper's figure 4: a row each, with its name."""

import os
import textwrap
from collections.abc import Mapping

import cv2
import numpy as np
from jaxtyping import UInt8

from adiff_jax.media.pictures import write_picture

GAP = 4


def save_sheet(path: str | os.PathLike, rows: Mapping[str, UInt8[np.ndarray, "R W 3"]]) -> None:
    """Writes strips of equal size under each other, the name of each to its left, as PNG."""
    sheet = []
    for name, strip in rows.items():
        if sheet:
            sheet.append(np.full((GAP, sheet[0].shape[1], 3), 255, np.uint8))
        sheet.append(np.concatenate([_label(name, strip.shape[0]), strip], axis=1))
    write_picture(path, np.concatenate(sheet))


def _label(text: str, height: int) -> UInt8[np.ndarray, "R R2 3"]:
    """Black text on white, broken into lines."""
    label = np.full((height, height, 3), 255, np.uint8)
    scale = height / 300
    for line, words in enumerate(textwrap.wrap(text, 16)):
        place = (round(8 * scale), round((line + 1.6) * 34 * scale))
        cv2.putText(label, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return label
