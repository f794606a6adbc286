"""The cutting of tracks, what is said of a lost face, and records of a real video."""

import dataclasses

import numpy as np
import pytest
from grey import OPTIONS, MeshDetector, write_video

from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.prep.items import Item
from adiff_jax.prep.options import FilterOptions, PrepareOptions, ShotOptions
from adiff_jax.prep.stages import segments, video_clips


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("111", [(0, 3)]),
        ("11011", [(0, 2), (3, 5)]),
        ("1111111", [(0, 4), (4, 7)]),
        ("01000", []),
        ("000", []),
        ("", []),
    ],
)
def test_segments(found, expected):
    cut = segments(np.array([char == "1" for char in found], bool), shortest=2, longest=4)
    assert [(part.start, part.stop) for part in cut] == expected


def test_segments_keep_every_found_frame_once_if_long_enough():
    rng = np.random.default_rng(0)
    for _ in range(200):
        found = rng.random(100) < 0.95
        parts = segments(found, shortest=1, longest=7)
        kept = [index for part in parts for index in range(part.start, part.stop)]
        assert kept == np.flatnonzero(found).tolist()
        assert all(part.stop - part.start <= 7 for part in parts)


@pytest.mark.parametrize(("brightness", "reason"), [(0, "too short"), (150, "too dark")])
def test_a_lost_face_is_for_the_pictures_if_they_are_bad(tmp_path, brightness, reason):
    write_video(tmp_path / "lost.mp4", [100] * 3 + [0] * 2 + [100] * 3)
    options = dataclasses.replace(
        OPTIONS,
        shots=ShotOptions(cut_ratio=0),
        filters=dataclasses.replace(FilterOptions.none(), min_brightness=brightness),
    )
    outcome, clips = video_clips(Item("lost", str(tmp_path / "lost.mp4")), MeshDetector(), options)
    assert (outcome.reason, clips) == (reason, [])
    (part,) = outcome.rejected
    assert (part.clip, part.start, part.stop) == ("lost#0", 0, pytest.approx(7 / 25, abs=1e-3))


def test_records_of_a_real_video(shared):
    path = shared / "data" / "clips" / "d0.mp4"
    outcome, clips = video_clips(Item("d0", str(path)), LandmarkDetector(), PrepareOptions())
    assert [fact.clip for fact in outcome.kept] == [clip.info.id for clip in clips]
    assert [clip.info.id for clip in clips] == ["d0#0", "d0#39"]
    for clip in clips:
        assert len(clip) == len(clip.frames) == 39
        assert np.abs(clip.landmarks[..., :2]).max() < 1
        # The crop's rule: the face fills 1 / 1.6 of the box at its largest, so half of it or more on the whole.
        height = np.ptp(clip.landmarks[..., 1], axis=1) / 2
        assert 0.5 < np.median(height) < 0.64
        assert (clip.blendshapes >= 0).all() and (clip.blendshapes <= 1).all()
        np.testing.assert_allclose(clip.pose[:, 3], [[0, 0, 0, 1]] * 39, atol=1e-6)
        assert (np.diff(clip.times) > 0).all()
