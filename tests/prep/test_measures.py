"""Measures of drawn clips: each sees what it is for and nothing else, and each filter goes by its own."""

import dataclasses

import cv2
import numpy as np
import pytest

from adiff_jax.data.synthetic import render_clip
from adiff_jax.media.landmarks import FaceLandmarks
from adiff_jax.prep.measures import check_pictures, check_track, picture_measures, track_measures
from adiff_jax.prep.options import FilterOptions
from adiff_jax.prep.outcome import REASONS, ClipRejected

SIZE, FRAMES = 128, 6
GOOD = {
    **{"face": 200.0, "yaw": 5.0, "pitch": 5.0, "roll": 5.0, "outside": 0.0, "motion": 0.5, "jump": 0.02},
    **{"sharpness": 0.8, "brightness": 120.0, "covered": 0.02},
}


@pytest.fixture(scope="module")
def clip():
    return render_clip(7, num_frames=FRAMES, size=SIZE)


def test_sharpness_falls_with_blur_and_not_with_size(clip):
    def sharpness(frames):
        return picture_measures(frames, clip.landmarks)["sharpness"]

    blurred = [sharpness(np.stack([cv2.GaussianBlur(f, (0, 0), s) for f in clip.frames])) for s in (1, 2, 4)]
    assert sharpness(clip.frames) > blurred[0] > blurred[1] > blurred[2]
    assert blurred[2] < FilterOptions().min_sharpness < sharpness(clip.frames)
    larger = np.stack([cv2.resize(f, (256, 256), interpolation=cv2.INTER_CUBIC) for f in clip.frames])
    assert sharpness(larger) == pytest.approx(sharpness(clip.frames), abs=0.15)


def test_what_comes_before_the_face_covers_it(clip):
    measured = picture_measures(clip.frames, clip.landmarks)
    hand = clip.frames.copy()
    hand[2:4, SIZE // 3 :, :] = (20, 200, 40)
    covered = picture_measures(hand, clip.landmarks)
    assert measured["covered"] < 0.15 < 0.3 < covered["covered"]
    lit = np.clip(clip.frames * np.linspace(0.9, 1.1, FRAMES)[:, None, None, None], 0, 255).astype(np.uint8)
    assert picture_measures(lit, clip.landmarks)["covered"] < 0.15  # the light on the whole face may change


def test_brightness_is_that_of_the_face(clip):
    bright = picture_measures(clip.frames, clip.landmarks)["brightness"]
    dark = picture_measures((clip.frames * 0.3).astype(np.uint8), clip.landmarks)["brightness"]
    assert dark == pytest.approx(0.3 * bright, rel=0.05)
    frame = clip.frames.copy()
    frame[:, :4] = 255  # far from the face
    assert picture_measures(frame, clip.landmarks)["brightness"] == bright


def track_of(points: np.ndarray) -> FaceLandmarks:
    count = len(points)
    return FaceLandmarks(
        points=points.astype(np.float32),
        blendshapes=np.zeros((count, 52), np.float32),
        pose=np.tile(np.eye(4, dtype=np.float32), (count, 1, 1)),
        found=np.ones(count, bool),
        times=np.arange(count) / 25,
    )


def test_what_landmarks_tell(clip):
    still = np.repeat((clip.landmarks[:1] + 1) * 100, FRAMES, axis=0)
    side = np.ptp(still[0, :, :2], axis=0).max()
    whole = slice(0, FRAMES)
    measured = track_measures(track_of(still), whole, 200, 200)
    assert measured["face"] == pytest.approx(side, rel=1e-3)
    assert (measured["motion"], measured["jump"], measured["outside"]) == (0, 0, 0)
    jumping = still + np.where(np.arange(FRAMES) >= 3, side, 0)[:, None, None] * [1, 0, 0]
    assert track_measures(track_of(jumping), whole, 400, 400)["jump"] == pytest.approx(1, rel=1e-3)
    assert track_measures(track_of(jumping), whole, 200, 200)["outside"] > 0.2
    # A part is measured by itself.
    assert track_measures(track_of(jumping), slice(3, 6), 400, 400)["jump"] == 0
    turned = track_of(still)
    angle = np.deg2rad(30)
    turned.pose[:, :3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    measured = track_measures(turned, whole, 200, 200)
    assert (measured["yaw"], measured["pitch"], measured["roll"]) == pytest.approx((30, 0, 0), abs=1e-3)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"face": 20.0}, "small face"),
        ({"yaw": 80.0}, "turned away"),
        ({"pitch": 80.0}, "turned away"),
        ({"roll": 80.0}, "turned away"),
        ({"outside": 0.5}, "outside the picture"),
        ({"motion": 0.0}, "still"),
        ({"jump": 2.0}, "jumping"),
        ({"sharpness": 0.1}, "blurred"),
        ({"brightness": 5.0}, "too dark"),
        ({"brightness": 250.0}, "too bright"),
        ({"covered": 0.6}, "covered"),
    ],
)
def test_each_filter_goes_by_its_own_measure(bad, reason):
    def check(measures, options):
        check_track(measures, options)
        check_pictures(measures, options)

    check(GOOD, FilterOptions())
    check(GOOD | bad, FilterOptions.none())
    with pytest.raises(ClipRejected) as rejected:
        check(GOOD | bad, FilterOptions())
    assert rejected.value.reason == reason in REASONS
    assert f"{next(iter(bad.values())):.3g}" in str(rejected.value)  # what was measured, and what would be enough


def test_none_turns_every_filter_off():
    assert {field.name for field in dataclasses.fields(FilterOptions)} == set(vars(FilterOptions.none()))
