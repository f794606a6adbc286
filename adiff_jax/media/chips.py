"""Face chips: the face turned upright, its eyes and nose always at the same place, as identity networks take it."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Outer and inner corner of the right eye, inner and outer of the left, base of the nose: in MediaPipe's order of
# landmarks, and where dlib (King 2009) puts the same points in the unit square, x right and y down.
ANCHORS = (33, 133, 362, 263, 2)
PLACES = np.array([[0.1206, 0.2137], [0.3341, 0.2291], [0.6461, 0.2290], [0.8596, 0.2135], [0.4901, 0.6278]])


def face_chip(
    picture: UInt8[np.ndarray, "R R 3"],
    points: Float[np.ndarray, "K P"],
    size: int,
    padding: float,
    jitter: Float[np.ndarray, "2 3"] | None = None,
) -> UInt8[np.ndarray, "size size 3"]:
    """The face by the similarity that best takes `ANCHORS` to `PLACES`; what lies outside the picture is mirrored.

    Args:
        picture: a square picture with the face.
        points: its landmarks, x right and y down in [-1, 1] of the picture.
        size: side of the chip in pixels.
        padding: room on every side of the unit square, in units of it; 0.25 (dlib) shows brows to chin.
        jitter: an affine map of the chip about its centre, in units of half its side.
    """
    target = ((PLACES + padding) / (1 + 2 * padding) * 2 - 1) @ np.array([1, 1j])
    source = np.asarray(points, np.float64)[list(ANCHORS), :2] @ np.array([1, 1j])
    centred = source - source.mean()
    turn = (target - target.mean()) @ centred.conj() / (np.abs(centred) ** 2).sum()
    shift = target.mean() - turn * source.mean()
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag], [0, 0, 1]])
    if jitter is not None:
        matrix = np.vstack([jitter, [0, 0, 1]]) @ matrix
    shrink = abs(turn) * size / picture.shape[0]
    if shrink < 0.7:  # bilinear interpolation would skip pixels
        side = max(round(picture.shape[0] * shrink), 1)
        picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    to_chip = _pixels(size) @ matrix @ np.linalg.inv(_pixels(picture.shape[0]))
    return cv2.warpAffine(picture, to_chip[:2], (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _pixels(side: int) -> Float[np.ndarray, "3 3"]:
    """From [-1, 1] to pixels of a picture of that side: pixel i covers [i - 0.5, i + 0.5]."""
    half = side / 2
    return np.array([[half, 0, half - 0.5], [0, half, half - 0.5], [0, 0, 1.0]])
