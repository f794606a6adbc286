"""Masks cover the part that changes, in both pictures, and fade around it."""

import numpy as np
import pytest

from adiff_jax.media.crop import paste_back
from adiff_jax.media.masks import region_mask
from adiff_jax.media.transfer import region_points

SIZE = 128


@pytest.fixture
def points(face):
    return 0.6 * face


def values_at(mask, points):
    x, y = np.clip((points[:, :2] + 1) * (SIZE / 2), 0, SIZE - 1).astype(int).T
    return mask[y, x]


@pytest.mark.parametrize("region", ["all", "pose"])
def test_a_head_that_moves_takes_its_hair_along(region, points):
    small = 0.6 * points
    mask = region_mask(region, (small, small + np.array([0.1, 0, 0])), SIZE)
    height = np.ptp(small[:, 1])
    assert values_at(mask, small).min() == 255
    assert values_at(mask, small[small[:, 1].argmin()][None] - np.array([[0, 0.3 * height, 0]])) == 255
    assert mask.min() == 0, "the background stays"


@pytest.mark.parametrize("region", ["expression", "lips", "eyes"])
def test_covers_the_part_before_and_after_and_little_else(region, points):
    after = points + np.array([0.1, 0.05, 0])
    mask = region_mask(region, (points, after), SIZE)
    parts = [list(part) for part, _ in region_points(region)] if region != "expression" else [list(range(478))]
    for part in parts:
        for track in (points, after):
            assert values_at(mask, track[part]).min() > 180
    assert (mask[0] == 0).all() and (mask[:, 0] == 0).all()
    assert abs(np.diff(mask.astype(int), axis=0)).max() < 120, "no hard edge"


def test_lips_leave_the_eyes_alone_and_the_other_way_round(points):
    eyes, lips = ([i for part, _ in region_points(region) for i in part] for region in ("eyes", "lips"))
    assert values_at(region_mask("lips", (points, points), SIZE), points[eyes]).max() == 0
    assert values_at(region_mask("eyes", (points, points), SIZE), points[lips]).max() == 0


def test_pasting_with_a_mask_touches_only_what_it_covers(rng):
    frame = rng.integers(0, 255, (100, 100, 3), dtype=np.uint8)
    crop = np.full((32, 32, 3), 200, np.uint8)
    mask = np.zeros((32, 32), np.uint8)
    mask[12:20, 12:20] = 255
    pasted = paste_back(frame, crop, np.array([50.0, 50.0, 64.0]), mask)
    assert (pasted[46:54, 46:54] == 200).all()
    changed = np.argwhere((pasted != frame).any(axis=-1))
    assert changed.min() >= 34 and changed.max() < 66
    np.testing.assert_array_equal(paste_back(frame, crop, np.array([50.0, 50.0, 64.0]), 0 * mask), frame)
