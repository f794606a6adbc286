"""Pictures that show at a glance what a reenactment did: landmark drawings, side-by-side frames, contact sheets."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from adiff_jax.data.synthetic import mesh

Picture = UInt8[np.ndarray, "R R 3"]

_CONTOURS = {
    mesh.FACE_OVAL: (130, 130, 130),
    mesh.RIGHT_BROW: (240, 190, 90),
    mesh.LEFT_BROW: (240, 190, 90),
    mesh.RIGHT_EYE: (110, 200, 250),
    mesh.LEFT_EYE: (110, 200, 250),
    mesh.RIGHT_IRIS[1:]: (250, 250, 250),
    mesh.LEFT_IRIS[1:]: (250, 250, 250),
    mesh.LIPS_OUTER: (240, 110, 120),
    mesh.LIPS_INNER: (240, 110, 120),
}
_FINE = 4  # bits of cv2's fixed-point coordinates


def draw_landmarks(points: Float[np.ndarray, "K P"], size: int) -> Picture:
    """Draws face oval, brows, eyes, irises and lips of landmarks in [-1, 1] on black."""
    picture = np.zeros((size, size, 3), np.uint8)
    pixels = (points[:, :2] + 1) * (size / 2) - 0.5
    fixed = np.rint(pixels * 2**_FINE).astype(np.int32)
    for contour, colour in _CONTOURS.items():
        line = [fixed[list(contour)]]
        cv2.polylines(picture, line, isClosed=True, color=colour, lineType=cv2.LINE_AA, shift=_FINE)
    return picture


def side_by_side(*pictures: Picture) -> UInt8[np.ndarray, "R W 3"]:
    """Pictures of one size in a row."""
    return np.concatenate(pictures, axis=1)


def contact_sheet(rows: Sequence[Sequence[Picture]], gap: int = 2) -> UInt8[np.ndarray, "Y X 3"]:
    """Rows of equally many pictures of one size on white, `gap` pixels apart."""
    size = rows[0][0].shape[0]
    pitch = size + gap
    sheet = np.full((len(rows) * pitch - gap, len(rows[0]) * pitch - gap, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet[y * pitch : y * pitch + size, x * pitch : x * pitch + size] = picture
    return sheet


def pick_frames(num_frames: int, most: int) -> list[int]:
    """At most `most` frames of a video, the first and the last among them, at equal distances."""
    return sorted(set(np.linspace(0, num_frames - 1, min(most, num_frames)).round().astype(int).tolist()))
