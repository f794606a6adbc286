"""Cuts are found where they are, and motion, flashes and fades are none."""

import numpy as np
import pytest

from adiff_jax.media.video import Frame
from adiff_jax.prep.options import ShotOptions
from adiff_jax.prep.shots import shots

DEFAULTS = ShotOptions()


def scene(seed: int, count: int, speed: int = 0) -> list[np.ndarray]:
    """A picture of coarse patches that moves sideways."""
    patches = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    picture = patches.repeat(12, axis=0).repeat(12, axis=1)
    return [np.roll(picture, speed * step, axis=1) for step in range(count)]


def lengths(pictures: list[np.ndarray], options: ShotOptions = DEFAULTS) -> list[int]:
    frames = [Frame(picture, index / 25) for index, picture in enumerate(pictures)]
    found = [list(shot) for shot in shots(frames, options)]
    assert [frame.time for shot in found for frame in shot] == [frame.time for frame in frames]  # none lost, none twice
    return [len(shot) for shot in found]


def test_cuts_are_found_where_they_are():
    assert lengths([*scene(0, 10), *scene(1, 7), *scene(2, 12)]) == [10, 7, 12]
    assert lengths([*scene(0, 10, speed=1), *scene(1, 9, speed=2)]) == [10, 9]


@pytest.mark.parametrize("first", [1, 2, 3])
def test_cuts_near_the_ends(first):
    assert lengths([*scene(0, first), *scene(1, 8)]) == [first, 8]
    assert lengths([*scene(0, 8), *scene(1, first)]) == [8, first]


def test_what_is_no_cut():
    assert lengths(scene(0, 12, speed=12)) == [12]  # fast all the time
    flash = scene(0, 12)
    flash[6] = np.full_like(flash[6], 255)
    assert lengths(flash) == [12]
    fade = [(picture * (1 - step / 20)).astype(np.uint8) for step, picture in enumerate(scene(0, 20))]
    assert lengths(fade) == [20]
    assert lengths(scene(0, 1)) == [1]
    assert lengths([]) == []


def test_cutting_can_be_left_out():
    assert lengths([*scene(0, 10), *scene(1, 7)], ShotOptions(cut_ratio=0)) == [17]
