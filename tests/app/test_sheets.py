"""Drawings land where the landmarks are, sheets hold every picture once."""

import numpy as np
import pytest

from adiff_jax.app.sheets import contact_sheet, draw_landmarks, pick_frames, side_by_side
from adiff_jax.data.synthetic import mesh


def test_landmarks_are_drawn_where_they_are() -> None:
    points = np.full((478, 3), -5.0)
    square = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    points[list(mesh.LIPS_OUTER)] = square[np.arange(len(mesh.LIPS_OUTER)) * 4 // len(mesh.LIPS_OUTER)]
    picture = draw_landmarks(points, 64)
    drawn = np.argwhere(picture.any(axis=-1))
    np.testing.assert_allclose(drawn.min(axis=0), 16, atol=1)  # -0.5 is pixel 15.5 of 64
    np.testing.assert_allclose(drawn.max(axis=0), 48, atol=1)
    assert not picture[20:44, 20:44].any()


def test_points_outside_the_picture_draw_nothing() -> None:
    assert not draw_landmarks(np.full((478, 2), 3.0), 32).any()


def test_side_by_side() -> None:
    a, b = np.zeros((4, 4, 3), np.uint8), np.ones((4, 4, 3), np.uint8)
    np.testing.assert_array_equal(side_by_side(a, b)[:, :, 0], [[0] * 4 + [1] * 4] * 4)


def test_contact_sheet() -> None:
    rows = [[np.full((2, 2, 3), 3 * y + x, np.uint8) for x in range(3)] for y in range(2)]
    sheet = contact_sheet(rows, gap=1)[..., 0]
    np.testing.assert_array_equal(
        sheet,
        [
            [0, 0, 255, 1, 1, 255, 2, 2],
            [0, 0, 255, 1, 1, 255, 2, 2],
            [255] * 8,
            [3, 3, 255, 4, 4, 255, 5, 5],
            [3, 3, 255, 4, 4, 255, 5, 5],
        ],
    )


@pytest.mark.parametrize(
    ("num_frames", "most", "chosen"), [(9, 3, [0, 4, 8]), (2, 8, [0, 1]), (1, 8, [0]), (100, 4, [0, 33, 66, 99])]
)
def test_pick_frames(num_frames: int, most: int, chosen: list[int]) -> None:
    assert pick_frames(num_frames, most) == chosen
