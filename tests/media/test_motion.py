"""Laws of relative motion."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from adiff_jax.media import topology
from adiff_jax.media.motion import HeadMotion, decompose, estimate_neutral, retarget


def moved(rng, points):
    """Each frame turned, scaled and shifted at random; also returns how."""
    count = len(points)
    rotation = Rotation.from_rotvec(rng.normal(0, 0.3, (count, 3))).as_matrix()
    motion = HeadMotion(rotation, rng.normal(0, 9, (count, 3)), rng.uniform(0.5, 2, count), points * 0)
    return motion.scale[:, None, None] * points @ np.swapaxes(rotation, 1, 2) + motion.translation[:, None], motion


LIPS = [index for lip in (topology.UPPER_LIP, topology.LOWER_LIP) for ring in lip for index in ring]
FEATURES = LIPS + [index for eye in topology.EYES for part in eye for index in part] + list(topology.MOUTH_CORNERS)


@pytest.fixture
def talking(rng, face):
    """A still head over 40 frames whose lids close in frame 7 and whose lips touch in frame 20; the skin is noisy."""
    track = np.repeat(face[None], 40, axis=0)
    skin = np.setdiff1d(np.arange(478), FEATURES + list(topology.STABLE))
    track[:, skin] += rng.normal(0, 0.01, (40, len(skin), 3))
    lids, lips = rng.uniform(0.1, 1, (2, 40, 1, 1))
    lids[0], lids[7], lips[20] = 1, 0, 0
    for eye in topology.EYES:
        track[:, eye.upper] += (1 - lids) * (track[:, eye.lower] - track[:, eye.upper])
    shut = face[list(topology.UPPER_LIP[0])] - face[list(topology.LOWER_LIP[0])]
    for ring in topology.LOWER_LIP:
        track[:, ring] += shut + lips * [0, 0.3, 0]
    return track


@pytest.fixture
def other(rng, face):
    """Another person: narrower eyes, wider mouth, other proportions, seen elsewhere, turned, at another scale."""
    shape = face * [1.1, 0.9, 1.2]
    for eye in topology.EYES:
        middle = shape[list(eye.upper)] / 2 + shape[list(eye.lower)] / 2
        shape[list(eye.upper)] = middle + 0.6 * (shape[list(eye.upper)] - middle)
        shape[list(eye.lower)] = middle + 0.6 * (shape[list(eye.lower)] - middle)
    shape[LIPS + list(topology.MOUTH_CORNERS), 0] *= 1.2
    return moved(rng, shape[None])[0][0]


def gaps(track, upper, lower):
    return np.linalg.norm(track[:, lower] - track[:, upper], axis=-1)


def test_decompose_finds_the_rigid_motion(rng, face):
    track, truth = moved(rng, np.repeat(face[None], 10, axis=0))
    motion = decompose(track, face)
    np.testing.assert_allclose(motion.rotation, truth.rotation, atol=1e-9)
    np.testing.assert_allclose(motion.translation, truth.translation, atol=1e-9)
    np.testing.assert_allclose(motion.scale, truth.scale, atol=1e-9)
    np.testing.assert_allclose(motion.expression, 0, atol=1e-9)


def test_apply_inverts_decompose(rng, talking, other):
    track, _ = moved(rng, talking)
    np.testing.assert_allclose(decompose(track, other).apply(other), track, atol=1e-9)


def test_expression_does_not_turn_the_head(rng, face):
    """Points outside the stable ones may do what they like, and a few of the stable ones may err."""
    track = np.repeat(face[None], 5, axis=0)
    free = np.setdiff1d(np.arange(478), topology.STABLE)
    track[:, free] += rng.normal(0, 0.3, (5, len(free), 3))
    track[:, topology.STABLE[:3]] += 0.2
    motion = decompose(track, face)
    angle = Rotation.from_matrix(motion.rotation).magnitude()
    assert np.degrees(angle).max() < 1  # least squares without Huber weights errs by 3 to 4 degrees


def test_rotations_are_proper(rng, face):
    motion = decompose(rng.normal(size=(20, 478, 3)), face)
    np.testing.assert_allclose(np.linalg.det(motion.rotation), 1)


def test_neutral_is_found_though_no_frame_shows_it(rng, face):
    """Shapes linear in the scores, none of which is ever 0; known shape, pose in every frame unknown."""
    slopes = rng.normal(0, 0.1, (51, 478, 3)) * (np.arange(51) < 6)[:, None, None]
    slopes[:, topology.STABLE] = 0
    scores = np.concatenate([np.zeros((200, 1)), rng.uniform(0.2, 1, (200, 6)), np.zeros((200, 45))], axis=1)
    shapes = face + np.tensordot(scores[:, 1:], slopes, 1)
    track, _ = moved(rng, shapes)
    neutral = estimate_neutral(track, scores)
    error = decompose(neutral[None], face).expression
    calmest = decompose(track[[(scores**2).sum(axis=1).argmin()]], face).expression
    # The ridge shrinks slopes of scores with variance 0.053 by 16 %, which leaves 0.27 of the calmest frame's offset.
    assert abs(error).mean() < 0.3 * abs(calmest).mean()


def test_neutral_without_scores_is_the_median_shape(rng, face):
    shapes = np.repeat(face[None], 21, axis=0)
    shapes[:8, topology.LOWER_LIP[0]] += [0, 0.3, 0]
    track, _ = moved(rng, shapes)
    np.testing.assert_allclose(decompose(estimate_neutral(track)[None], face).expression, 0, atol=1e-5)


def test_the_driver_on_its_own_shape_is_the_driver(rng, talking, face):
    track, _ = moved(rng, talking)
    for neutral in (face, talking[3], moved(rng, face[None])[0][0]):
        np.testing.assert_allclose(retarget(track, neutral, neutral), track, atol=1e-5)


def test_retarget_commutes_with_the_drivers_pose(rng, talking, face, other):
    still = retarget(talking, other, face)
    track, pose = moved(rng, talking)
    expected = pose.scale[:, None, None] * still @ np.swapaxes(pose.rotation, 1, 2) + pose.translation[:, None]
    np.testing.assert_allclose(retarget(track, other, face), expected, atol=1e-4)


def test_the_sources_pose_does_not_matter(rng, talking, face, other):
    np.testing.assert_allclose(
        retarget(talking, moved(rng, other[None])[0][0], face), retarget(talking, other, face), atol=1e-5
    )


def test_a_neutral_driver_gives_the_sources_shape(rng, face, other):
    track, _ = moved(rng, np.repeat(face[None], 6, axis=0))
    result = decompose(retarget(track, other, face), other)
    irises = [i for eye in topology.EYES for i in eye.iris]
    rest = np.setdiff1d(np.arange(478), LIPS + irises)  # lips and gaze are the driver's, also at rest
    np.testing.assert_allclose(result.expression[:, rest], 0, atol=1e-5)


def test_eyes_close_and_open_as_the_drivers(talking, face, other):
    result = retarget(talking, other, face)
    neutral = retarget(face[None], other, face)
    for eye in topology.EYES:
        lids = eye.upper, eye.lower
        opening = gaps(result, *lids) / gaps(neutral, *lids)
        np.testing.assert_allclose(opening, gaps(talking, *lids) / gaps(face[None], *lids), atol=1e-5)
        assert gaps(result, *lids)[7].max() < 1e-6


def test_lips_open_as_the_drivers_on_the_sources_scale(talking, face, other):
    lips = topology.UPPER_LIP[0], topology.LOWER_LIP[0]
    placed = retarget(face[None], other, face)
    left, right = topology.MOUTH_CORNERS
    scale = np.linalg.norm(placed[0, left] - placed[0, right]) / np.linalg.norm(face[left] - face[right])
    result = retarget(talking, other, face)
    np.testing.assert_allclose(gaps(result, *lips), scale * gaps(talking, *lips), atol=1e-5)
    assert gaps(result, *lips)[20].max() < 1e-6


def test_gaze_moves_the_iris_as_far_as_the_eye_is_wide(face, other):
    track = np.repeat(face[None], 3, axis=0)
    for eye in topology.EYES:
        track[1, eye.iris, 0] += 0.1
        track[2, eye.iris, 1] += 0.02
    result = retarget(track, other, face)
    for eye in topology.EYES:
        outer, inner = eye.corners
        widths = [np.linalg.norm(points[outer] - points[inner]) for points in (result[0], face)]
        moves = [np.linalg.norm(points[1:, eye.iris] - points[:1, eye.iris], axis=-1) for points in (result, track)]
        np.testing.assert_allclose(moves[0] / widths[0], moves[1] / widths[1], rtol=1e-3)


def test_strength(talking, face, other):
    still = retarget(talking, other, face, strength=0.0)
    np.testing.assert_allclose(still, np.broadcast_to(still[0], still.shape), atol=1e-5)
    np.testing.assert_array_equal(retarget(talking, other, face, strength=1.0), retarget(talking, other, face))


def test_on_a_real_clip(track, face, other):
    """The mouth of another shape opens when the real one does."""
    result = retarget(track.points, other, estimate_neutral(track.points, track.blendshapes))
    opening = [np.linalg.norm(points[:, 13] - points[:, 14], axis=-1) for points in (track.points, result)]
    assert np.corrcoef(*opening)[0, 1] > 0.999
