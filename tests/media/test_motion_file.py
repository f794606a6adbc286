"""Motion files: what is saved is what is loaded, and anything else is one clear line."""

import dataclasses
import pickle
from fractions import Fraction

import numpy as np
import pytest
import safetensors.numpy

from adiff_jax.media.errors import MediaError
from adiff_jax.media.motion_file import MotionTrack, load_motion, save_motion


@pytest.fixture
def motion(rng):
    return MotionTrack(
        points=rng.normal(size=(9, 478, 3)).astype(np.float32),
        neutral=rng.normal(size=(478, 3)).astype(np.float32),
        times=np.cumsum(rng.uniform(0.01, 0.1, 9)),
        fps=Fraction(30000, 1001),
    )


def assert_equal(one, other):
    for field in dataclasses.fields(MotionTrack):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_round_trip(tmp_path, motion):
    save_motion(tmp_path / "a.safetensors", motion)
    assert_equal(load_motion(tmp_path / "a.safetensors"), motion)
    part = dataclasses.replace(motion, points=motion.points[:4], times=motion.times[:4])
    assert_equal(load_motion(tmp_path / "a.safetensors", max_frames=4), part)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_other_names_are_refused(tmp_path, motion):
    with pytest.raises(MediaError, match=r"ends in \.safetensors"):
        save_motion(tmp_path / "a.mp4", motion)
    with pytest.raises(MediaError, match="does not exist"):
        save_motion(tmp_path / "none" / "a.safetensors", motion)


def test_what_is_no_motion_is_one_clear_line(tmp_path, motion):
    good = {"points": motion.points, "neutral": motion.neutral, "times": motion.times}
    metadata = {"format": "adiff_jax motion 1", "fps": "25"}
    infinite = motion.points.copy()
    infinite[3, 3] = np.inf
    cases = {
        "damaged motion file: landmarks": [
            {**good, "points": motion.points[:, :100]},
            {**good, "points": infinite},
            {**good, "points": motion.points.astype(np.float64)},
            {**good, "times": motion.times[:5]},
        ],
        "times do not rise": [{**good, "times": motion.times[::-1].copy()}],
        "not a motion file": [{"weights": motion.points}],
    }
    path = tmp_path / "a.safetensors"
    for message, tensors in ((message, tensors) for message, many in cases.items() for tensors in many):
        safetensors.numpy.save_file(tensors, path, metadata)
        with pytest.raises(MediaError, match=message) as raised:
            load_motion(path)
        assert "\n" not in str(raised.value)
    for fps in ("0", "-1", "1/0", "many", "1e9", "1e999999999", "1/3e9"):
        safetensors.numpy.save_file(good, path, {**metadata, "fps": fps})
        with pytest.raises(MediaError):
            load_motion(path)
    safetensors.numpy.save_file(good, path)
    with pytest.raises(MediaError, match="not a motion file that this version reads"):
        load_motion(path)
    for content in (b"words " * 99, pickle.dumps([1, 2, 3]), b""):
        path.write_bytes(content)
        with pytest.raises(MediaError, match="not a motion file"):
            load_motion(path)
    with pytest.raises(MediaError, match="no such motion file"):
        load_motion(tmp_path / "absent.safetensors")
