"""Chips show the face at one place, however it lies in the picture."""

import cv2
import numpy as np
import pytest

from adiff_jax.media.chips import ANCHORS, PLACES, face_chip


def points_of(anchors: np.ndarray) -> np.ndarray:
    points = np.zeros((478, 3))
    points[list(ANCHORS), :2] = anchors
    return points


def similarity(scale: float, degrees: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, shift])


def picture_with_blobs(anchors: np.ndarray, side: int) -> np.ndarray:
    """White spots at the anchors, on black."""
    picture = np.zeros((side, side, 3), np.uint8)
    for x, y in (anchors + 1) * side / 2 - 0.5:
        cv2.circle(picture, (round(x * 16), round(y * 16)), round(side / 40 * 16), (255,) * 3, -1, cv2.LINE_AA, 4)
    return picture


@pytest.mark.parametrize(("scale", "degrees", "side"), [(0.6, 0, 200), (0.5, 25, 200), (0.7, -160, 128), (1.0, 8, 900)])
@pytest.mark.parametrize("padding", [0.25, 0.6])
def test_anchors_land_on_their_places(scale: float, degrees: float, side: int, padding: float) -> None:
    matrix = similarity(scale, degrees, (0.05, -0.1))
    anchors = (PLACES * 2 - 1) @ matrix[:, :2].T + matrix[:, 2]
    chip = face_chip(picture_with_blobs(anchors, side), points_of(anchors), 96, padding)
    assert chip.shape == (96, 96, 3)
    for x, y in (PLACES + padding) / (1 + 2 * padding) * 96 - 0.5:
        assert chip[round(y), round(x)].min() > 120, "a spot is there"
    # Anywhere else it is dark: what is bright is not more than the five spots.
    assert (chip[..., 0] > 60).mean() < 0.2


def test_jitter_shifts_by_half_widths() -> None:
    anchors = 0.6 * (PLACES * 2 - 1)
    picture = picture_with_blobs(anchors, 200)
    still = face_chip(picture, points_of(anchors), 64, 0.25)
    moved = face_chip(picture, points_of(anchors), 64, 0.25, similarity(1.0, 0.0, (0.25, 0.0)))
    np.testing.assert_allclose(moved[:, 8:].astype(int), still[:, :-8].astype(int), atol=6)  # of interpolation
