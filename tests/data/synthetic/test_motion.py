"""Motions: proper poses, eyes that shut, determinism, and the way back from landmarks to motion."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from adiff_jax.data.synthetic import mesh
from adiff_jax.data.synthetic.motion import (
    Camera,
    Motion,
    express,
    eye_openings,
    motion_from_landmarks,
    project,
    rotation_matrix,
    sample_motion,
    still,
)
from adiff_jax.data.synthetic.performance import holds, sample_scores, smooth_noise
from adiff_jax.data.synthetic.shape import EXPRESSION, MEAN_FACE, FaceShape, neutral_shape
from adiff_jax.media.landmarks import BLENDSHAPES


def person(seed: int) -> np.ndarray:
    return neutral_shape(FaceShape.sample(np.random.default_rng(seed)))


def offsets(**scores: float) -> np.ndarray:
    """The expression of one frame with these scores on both sides."""
    rows = [
        value * EXPRESSION["basis"][BLENDSHAPES.index(name + side)].astype(np.float32)
        for name, value in scores.items()
        for side in ("Left", "Right")
    ]
    return np.sum(rows, axis=0)[None]


def pitch_yaw_only(motion: Motion) -> Motion:
    return dataclasses.replace(motion, expression=np.zeros_like(motion.expression))


def test_a_still_head_is_its_shape_in_the_camera() -> None:
    shape, camera = person(0), Camera(scale=0.05, centre=(0.1, -0.2))
    vertices = project(shape, still(2), camera)
    np.testing.assert_allclose(vertices[1, :, :2], 0.05 * shape[:, :2] + [0.1, -0.2], atol=1e-6)
    np.testing.assert_allclose(vertices[1, :, 2], 0.05 * shape[:, 2], atol=1e-6)


def test_the_default_camera_frames_the_mean_face() -> None:
    vertices = project(MEAN_FACE, still())[0]
    top, bottom = vertices[mesh.FOREHEAD, 1], vertices[mesh.CHIN, 1]
    assert 1.1 <= bottom - top <= 1.24  # 55 to 62 % of the picture's height, which is 2
    assert 0 < (top + bottom) / 2 < 0.15  # below the middle: room for hair


def test_angles_turn_the_head_the_documented_way() -> None:
    yaw, pitch, roll = rotation_matrix(np.diag([20.0, 20.0, 20.0]))
    forward, right = np.array([0, 0, -1]), np.array([1, 0, 0])
    assert (yaw @ forward)[0] > 0.3  # to the picture's right
    assert (pitch @ forward)[1] > 0.3  # down
    assert (roll @ right)[1] < -0.3  # anticlockwise


def test_angles_are_those_of_the_evaluation() -> None:
    angles = np.random.default_rng(0).uniform(-60, 60, (20, 3))
    flip = np.diag([1, -1, -1])
    expected = Rotation.from_euler("YXZ", angles, degrees=True).as_matrix()
    np.testing.assert_allclose(flip @ rotation_matrix(angles) @ flip, expected, atol=1e-12)


@pytest.mark.parametrize("frames", [1, 2, 40])
def test_sampled_motions_have_their_shapes_and_proper_rotations(frames: int) -> None:
    motion = sample_motion(3, frames)
    assert len(motion) == frames
    assert motion.expression.shape == (frames, 478, 3)
    assert motion.translation.shape == (frames, 2)
    identity = np.broadcast_to(np.eye(3), (frames, 3, 3))
    np.testing.assert_allclose(motion.rotation @ np.swapaxes(motion.rotation, 1, 2), identity, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(motion.rotation), 1, rtol=1e-12)
    assert np.isfinite(project(person(0), motion)).all()


def test_equal_seeds_give_equal_motions() -> None:
    first, again, other = sample_motion(5, 12), sample_motion(np.random.default_rng(5), 12), sample_motion(6, 12)
    for field in dataclasses.fields(Motion):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
        assert not np.array_equal(getattr(first, field.name), getattr(other, field.name))


def test_frames_of_a_motion_can_be_taken_out() -> None:
    motion = sample_motion(1, 10)
    some = np.array([7, 2])
    np.testing.assert_array_equal(project(person(1), motion[some]), project(person(1), motion)[some])
    assert len(motion[3:5]) == 2


@pytest.mark.parametrize("seed", range(5))
def test_a_full_blink_shuts_every_eye(seed: int) -> None:
    shape = person(seed)
    shut, half = (eye_openings(express(shape, offsets(eyeBlink=score)))[0] for score in (1.0, 0.5))
    assert (shut < 0.03).all()  # cm; lids meet but for float16 and the shape of the opening
    assert (shut < half).all() and (half < eye_openings(shape)).all()


@pytest.mark.parametrize("seed", range(5))
def test_lids_and_lips_never_pass_through_each_other(seed: int) -> None:
    motion = sample_motion(seed, 60)
    faces = express(person(seed), motion.expression)
    for upper, lower in (*mesh.LID_PAIRS, (mesh.UPPER_LIP_INNER[1:-1], mesh.LOWER_LIP_INNER[1:-1])):
        assert (faces[:, lower, 1] >= faces[:, upper, 1]).all()


def test_gaze_moves_the_irises_and_little_else() -> None:
    right = EXPRESSION["basis"][BLENDSHAPES.index("eyeLookInRight")].astype(np.float64)
    down = EXPRESSION["basis"][BLENDSHAPES.index("eyeLookDownRight")].astype(np.float64)
    assert 0.5 < right[468, 0] < 1.0 and 0.3 < down[468, 1] < 0.8  # cm
    np.testing.assert_allclose(right[468:473], np.broadcast_to(right[468], (5, 3)))
    assert np.abs(right[473:]).max() == 0


def test_the_basis_is_symmetric() -> None:
    left, right = (EXPRESSION["basis"][BLENDSHAPES.index(f"mouthSmile{side}")] for side in ("Left", "Right"))
    np.testing.assert_allclose(right[mesh.MIRROR] * [-1, 1, 1], left.astype(np.float64), atol=2e-3)  # float16


@pytest.mark.parametrize("pixels", [1.0, 256.0])
def test_motion_comes_back_from_landmarks(pixels: float) -> None:
    shape, motion = person(2), pitch_yaw_only(sample_motion(2, 30))
    camera = Camera(scale=0.06 * pixels, centre=(0.5 * pixels, 0.4 * pixels))
    found = motion_from_landmarks(project(shape, motion, camera), neutral=shape, camera=camera)
    # Rigid motion is recovered to float32 precision.
    np.testing.assert_allclose(found.rotation, motion.rotation, atol=1e-4)
    np.testing.assert_allclose(found.translation, motion.translation, atol=2e-3)
    np.testing.assert_allclose(found.scale, motion.scale, rtol=1e-4)
    assert np.abs(found.expression).max() < 5e-3


def test_motion_with_expression_gives_the_landmarks_back() -> None:
    shape = person(4)
    points = project(shape, sample_motion(4, 40))
    again = project(shape, motion_from_landmarks(points, neutral=shape, camera=Camera()))
    # Stable points move a little with the face, so the split in pose and expression differs; the landmarks do not. Only
    # z is free: weak perspective does not fix the depth of the whole head.
    np.testing.assert_allclose(again[..., :2], points[..., :2], atol=2e-3)


def test_without_a_neutral_the_pose_is_close_and_the_face_is_framed() -> None:
    motion = sample_motion(8, 60)
    points = 200 * project(person(8), motion) + 300
    found = motion_from_landmarks(points)
    error = Rotation.from_matrix(np.swapaxes(found.rotation, 1, 2) @ motion.rotation).magnitude()
    assert np.degrees(np.median(error)) < 6
    assert np.median(found.scale) == pytest.approx(1)
    np.testing.assert_allclose(np.median(found.translation, axis=0), 0, atol=0.1)


def test_bad_landmarks_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        motion_from_landmarks(np.zeros((3, 468, 3)))
    with pytest.raises(ValueError, match="finite"):
        motion_from_landmarks(np.full((3, 478, 3), np.nan))


def test_the_head_moves_as_far_as_documented() -> None:
    motions = [sample_motion(seed, 25) for seed in range(60)]
    rotations = np.concatenate([motion.rotation for motion in motions])
    flip = np.diag([1, -1, -1])
    angles = Rotation.from_matrix(flip @ rotations @ flip).as_euler("YXZ", degrees=True)
    assert (np.abs(angles) <= [42, 25, 25]).all()
    assert (np.abs(angles.std(axis=0) / [15, 8, 6] - 1) < 0.35).all()  # 60 independent clips


def test_scores_stay_scores_and_have_the_background_of_real_clips() -> None:
    rng = np.random.default_rng(0)
    seconds = np.arange(50) / 25
    scores = np.concatenate([sample_scores(rng, seconds, 25, np.zeros((50, 3))) for _ in range(40)])
    assert scores.min() >= 0 and scores.max() <= 1
    for name in ("jawOpen", "mouthSmileLeft", "mouthPucker", "browInnerUp", "eyeBlinkRight"):
        assert np.quantile(scores[:, BLENDSHAPES.index(name)], 0.97) > 0.4


def test_noise_has_unit_variance_and_its_correlation_time() -> None:
    noise = smooth_noise(np.random.default_rng(0), 60_000, 25, np.array([0.12, 0.4, 2.0]))
    np.testing.assert_allclose(noise.std(axis=0), 1, atol=0.05)  # 1200 independent stretches of the slowest
    for column, lag in zip(noise.T, (3, 10, 50), strict=True):
        assert (column[lag:] * column[:-lag]).mean() == pytest.approx(0.5, abs=0.05)


def test_holds_rests_on_targets() -> None:
    seconds = np.arange(0, 60, 0.02)
    path = holds(np.random.default_rng(0), seconds, 1.0, 0.1, lambda n: np.random.default_rng(1).normal(size=(n, 1)))
    speed = np.abs(np.diff(path[:, 0])) / 0.02
    assert (speed < 1e-9).mean() > 0.7
    assert speed.max() > 1
