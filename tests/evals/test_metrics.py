"""Every metric: values by hand, and that it gets worse when the video does."""

import numpy as np
import pytest

from adiff_jax.evals.colours import colour_deviation, region_colour, saturation
from adiff_jax.evals.expression import expression_distance, expression_motion_distance
from adiff_jax.evals.landmarks import eye_distance, found_rate, landmark_error
from adiff_jax.evals.mouth import correlation, mouth_correlation, mouth_opening
from adiff_jax.evals.pictures import psnr, ssim
from adiff_jax.evals.pose import (
    angle_difference,
    euler_angles,
    frozen_pose_distance,
    pose_distance,
    pose_motion_distance,
)


def face() -> np.ndarray:
    """Points of a face whose eye centres are 2 apart and whose inner lips are 1 apart."""
    points = np.zeros((478, 3))
    points[[33, 133]] = [[-1.5, 0, 0], [-0.5, 0, 0]]
    points[[362, 263]] = [[0.5, 0, 0], [1.5, 0, 0]]
    points[14] = [0, 1, 7]
    return points


def talking(num_frames: int = 40, seed: int = 0) -> np.ndarray:
    """A face that shifts and talks at random."""
    rng = np.random.default_rng(seed)
    points = np.repeat(face()[None], num_frames, axis=0)
    points[:, 14, 1] = rng.uniform(0, 1, num_frames)
    return points + rng.normal(0, 0.3, (num_frames, 1, 3))


def turned(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, scale: float = 1.0) -> np.ndarray:
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = scale * about_y @ about_x @ about_z
    matrix[:3, 3] = [1, 2, -50]
    return matrix


def all_found(num_frames: int) -> np.ndarray:
    return np.ones(num_frames, bool)


def test_eye_distance_and_mouth_opening_by_hand() -> None:
    faces = np.stack([face(), 3 * face() + 5])
    assert eye_distance(faces) == pytest.approx([2.0, 6.0])
    assert mouth_opening(faces) == pytest.approx([0.5, 0.5])


def test_found_rate_by_hand() -> None:
    assert found_rate(np.array([True, False, True, True])) == 0.75


def test_landmark_error_by_hand() -> None:
    requested = np.stack([face(), 2 * face()])
    measured = requested + np.array([0.3, 0.4, 9.0])
    assert landmark_error(measured, requested, all_found(2)) == pytest.approx((0.5 / 2 + 0.5 / 4) / 2)
    assert landmark_error(measured, requested, np.array([False, True])) == pytest.approx(0.5 / 4)
    assert np.isnan(landmark_error(measured, requested, np.zeros(2, bool)))


def test_shuffled_clip_fails_landmarks_and_mouth() -> None:
    clip = talking()
    shuffled = clip[np.random.default_rng(1).permutation(len(clip))]
    found = all_found(len(clip))
    assert landmark_error(clip, clip, found) == 0
    assert mouth_correlation(clip, clip, found) == pytest.approx(1)
    assert landmark_error(shuffled, clip, found) > 0.1
    assert mouth_correlation(shuffled, clip, found) < 0.5


def test_correlation_laws() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 50))
    assert correlation(a, 3 * a + 1) == pytest.approx(1)
    assert correlation(a, -a) == pytest.approx(-1)
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert correlation(a, np.ones(50)) == 0


def test_mouth_correlation_needs_two_frames() -> None:
    assert np.isnan(mouth_correlation(talking(), talking(), np.arange(40) == 3))


def test_expression_distance_by_hand() -> None:
    driver = np.zeros((3, 52))
    blendshapes = np.zeros((3, 52))
    blendshapes[0, 7] = 0.52
    blendshapes[2] = 1.0
    assert expression_distance(blendshapes, driver, np.array([True, True, False])) == pytest.approx(0.005)
    assert np.isnan(expression_distance(blendshapes, driver, np.zeros(3, bool)))


def test_shuffled_clip_fails_expression() -> None:
    clip = np.random.default_rng(0).uniform(size=(30, 52))
    assert expression_distance(clip, clip, all_found(30)) == 0
    assert expression_distance(clip[::-1], clip, all_found(30)) > 0.2


def test_expression_motion_ignores_a_constant_face_but_not_motion() -> None:
    clip = np.random.default_rng(0).uniform(0, 0.5, size=(30, 52))
    face = np.random.default_rng(1).uniform(0, 0.3, size=52)
    assert expression_motion_distance(clip + face, clip, all_found(30)) == pytest.approx(0, abs=1e-12)
    assert expression_motion_distance(np.repeat(face[None], 30, axis=0), clip, all_found(30)) > 0.1
    assert expression_motion_distance(clip[::-1], clip, all_found(30)) > 0.1
    assert np.isnan(expression_motion_distance(clip, clip, np.zeros(30, bool)))


@pytest.mark.parametrize("scale", [1.0, 0.2])
def test_euler_angles_invert_the_rotation(scale: float) -> None:
    rng = np.random.default_rng(0)
    for yaw, pitch, roll in rng.uniform([-180, -89, -180], [180, 89, 180], (100, 3)):
        np.testing.assert_allclose(euler_angles(turned(yaw, pitch, roll, scale)), [yaw, pitch, roll], atol=1e-6)


def test_angle_difference_takes_the_short_way() -> None:
    np.testing.assert_allclose(angle_difference(np.array([179.0, 10.0]), np.array([-179.0, -10.0])), [-2.0, 20.0])


def test_pose_distance_by_hand() -> None:
    driver = np.stack([turned(), turned(yaw=30)])
    pose = np.stack([turned(roll=-9), turned(yaw=36)])
    assert pose_distance(pose, driver, all_found(2)) == pytest.approx((9 + 6) / 6, abs=1e-6)
    assert np.isnan(pose_distance(pose, driver, np.zeros(2, bool)))


def test_frozen_head_by_hand_and_it_is_a_bar_that_a_shuffled_clip_misses() -> None:
    rng = np.random.default_rng(0)
    assert frozen_pose_distance(np.stack([turned(yaw=-10), turned(yaw=10)]), all_found(2)) == pytest.approx(10 / 3)
    driver = np.stack([turned(*angles) for angles in rng.uniform(-30, 30, (40, 3))])
    bar = 0.5 * frozen_pose_distance(driver, all_found(40))
    assert pose_distance(driver, driver, all_found(40)) < bar < pose_distance(driver[::-1], driver, all_found(40))


def test_pose_motion_ignores_a_constant_turn_but_not_motion() -> None:
    angles = np.random.default_rng(0).uniform(-15, 15, (40, 3))
    driver, same = (np.stack([turned(*row) for row in angles + offset]) for offset in (0, [170, 4, -6]))
    frozen = np.repeat(turned(20, 5, 0)[None], 40, axis=0)
    assert pose_motion_distance(same, driver, all_found(40)) == pytest.approx(0, abs=1e-4)
    assert pose_motion_distance(frozen, driver, all_found(40)) == pytest.approx(
        frozen_pose_distance(driver, all_found(40))
    )
    assert pose_motion_distance(driver[::-1], driver, all_found(40)) > frozen_pose_distance(driver, all_found(40))
    assert np.isnan(pose_motion_distance(driver, driver, np.zeros(40, bool)))


def test_region_colour_by_hand() -> None:
    frames = np.zeros((2, 2, 2, 3), np.uint8)
    frames[0, 0] = [[10, 20, 30], [30, 20, 10]]
    region = np.zeros((2, 2, 2), bool)
    region[0, 0] = True
    colours = region_colour(frames, region)
    np.testing.assert_allclose(colours[0], [20, 20, 20])
    assert np.isnan(colours[1]).all()


def test_colour_deviation_by_hand_and_it_sees_drift() -> None:
    assert colour_deviation(np.array([[0.0, 0, 0], [6.0, 0, 0]])) == pytest.approx(np.sqrt(9 / 3))
    assert colour_deviation(np.array([[0.0, 0, 0], [np.nan, 0, 0], [6.0, 0, 0]])) == pytest.approx(np.sqrt(3))
    assert np.isnan(colour_deviation(np.zeros((1, 3))))
    rng = np.random.default_rng(0)
    people = rng.uniform(0, 255, (64, 3))
    steady = people[0] + rng.normal(0, 2, (50, 3))
    assert colour_deviation(steady) < 0.25 * colour_deviation(people) < colour_deviation(rng.permutation(people))


def test_saturation_by_hand() -> None:
    assert saturation(np.array([[10, 200, 50], [7, 7, 7]], np.uint8)) == 95


def test_psnr_by_hand() -> None:
    a = np.zeros((1, 12, 12, 3), np.uint8)
    assert psnr(a, a + np.uint8(255)) == pytest.approx(0)
    assert psnr(a, a + np.uint8(25)) == pytest.approx(20 * np.log10(255 / 25))
    assert psnr(a, a) == float("inf")


def test_ssim_laws_and_a_constant_pair_by_hand() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 2, 24, 20, 3), dtype=np.uint8)
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(a, b) == pytest.approx(ssim(b, a))
    assert abs(ssim(a, b)) < 0.2
    grey, dark = np.full((11, 11, 3), 100, np.uint8), np.full((11, 11, 3), 50, np.uint8)
    assert ssim(grey, dark) == pytest.approx((2 * 100 * 50 + 2.55**2) / (100**2 + 50**2 + 2.55**2))
