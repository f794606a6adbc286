"""Clips: seeds of their own for person and motion, frames in any order, and faces that MediaPipe finds."""

import numpy as np
import pytest

from adiff_jax.data.synthetic.clips import clip_landmarks, render_clip
from adiff_jax.data.synthetic.mesh import LEFT_EYE, RIGHT_EYE
from adiff_jax.data.synthetic.render import LABELS, region_masks
from adiff_jax.media.crop import crop_track
from adiff_jax.media.errors import NoFaceError
from adiff_jax.media.landmarks import LandmarkDetector

SIZE = 64


def test_frames_do_not_depend_on_which_others_are_rendered() -> None:
    whole = render_clip(4, num_frames=8, size=SIZE)
    some = render_clip(4, num_frames=8, size=SIZE, frames=[6, 1])
    np.testing.assert_array_equal(some.frames, whole.frames[[6, 1]])
    np.testing.assert_array_equal(some.landmarks, whole.landmarks[[6, 1]])
    np.testing.assert_array_equal(some.times, whole.times[[6, 1]])
    np.testing.assert_array_equal(whole.landmarks, clip_landmarks(4, num_frames=8))


def test_identity_and_motion_are_separate() -> None:
    first, second = (render_clip(4, motion=motion, num_frames=4, size=SIZE) for motion in (1, 2))
    assert first.person == second.person
    assert not np.array_equal(first.landmarks, second.landmarks)
    other = render_clip(5, motion=1, num_frames=4, size=SIZE)
    assert other.person != first.person
    step = np.diff(first.landmarks[:, 168], axis=0), np.diff(other.landmarks[:, 168], axis=0)
    np.testing.assert_allclose(*step, atol=0.02)  # the heads move alike; the faces' shapes differ


def test_people_are_framed_as_the_crop_frames_real_ones() -> None:
    boxes = np.array([crop_track(clip_landmarks(seed, num_frames=32, fps=10.0)).mean(axis=0) for seed in range(200)])
    # The picture is the box (0, 0, 2). Over 200 people the mean has a standard error of 0.004 and of 0.009 (the side).
    np.testing.assert_allclose(boxes.mean(axis=0), [0, 0, 2], atol=0.03)


def test_the_face_fills_more_than_half_of_the_height() -> None:
    heights = [np.ptp(clip_landmarks(seed, num_frames=4)[..., 1], axis=1).mean() / 2 for seed in range(8)]
    assert 0.5 < np.mean(heights) < 0.65


def test_all_regions_stay_in_the_picture() -> None:
    clip = render_clip(9, num_frames=12, size=SIZE)
    for landmarks in clip.landmarks:
        labels = region_masks(clip.person, landmarks, SIZE)
        assert (labels == LABELS.index("clothes")).any() and (labels == LABELS.index("background")).mean() > 0.1


@pytest.mark.parametrize("bad", [{"num_frames": 0}, {"fps": 0}, {"num_frames": 3, "frames": [3]}])
def test_impossible_requests_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="got"):
        render_clip(0, size=SIZE, **bad)


@pytest.mark.slow
def test_mediapipe_reads_the_true_landmarks(shared) -> None:
    """The face is found in all of 36 frames; over all 478 points the mean error is below 6 % of the eyes' distance."""
    detector = LandmarkDetector()
    found, errors = 0, []
    for seed in range(12):
        clip = render_clip(seed, motion=seed + 100, num_frames=40, size=128, frames=[0, 20, 39])
        for frame, truth in zip(clip.frames, clip.landmarks):
            try:
                points = detector.picture(frame).points[0, :, :2] / 64 - 1
            except NoFaceError:
                continue
            found += 1
            eyes = np.linalg.norm(truth[list(RIGHT_EYE), :2].mean(0) - truth[list(LEFT_EYE), :2].mean(0))
            errors.append(np.linalg.norm(points - truth[:, :2], axis=-1).mean() / eyes)
    assert found == 36
    assert np.mean(errors) < 0.06
