"""Laws of transfer: what is whose, where motion starts, how strong it is."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from adiff_jax.media import topology
from adiff_jax.media.motion import decompose, retarget
from adiff_jax.media.transfer import resample, transfer

LIPS = [index for ring in topology.UPPER_LIP + topology.LOWER_LIP for index in ring] + list(topology.MOUTH_CORNERS)
EYES = [index for eye in topology.EYES for index in eye.corners + eye.upper + eye.lower + eye.iris]


def moved(rng, track, turns=0.15, steps=0.1, sizes=0.1):
    """Each frame in a pose of its own."""
    count = len(track)
    turned = track @ np.swapaxes(Rotation.from_rotvec(rng.normal(0, turns, (count, 3))).as_matrix(), 1, 2)
    size = np.exp(rng.normal(0, sizes, (count, 1, 1)))
    return size * turned + rng.normal(0, steps, (count, 1, 3))


@pytest.fixture
def driver(rng, face):
    """Twenty frames of a talking, turning face: lips open and close, lids too."""
    track = np.repeat(face[None], 20, axis=0)
    track[:, LIPS] += rng.normal(0, 0.02, (20, 1, 3))
    opening = rng.uniform(0, 0.2, 20)
    for ring in topology.LOWER_LIP:
        track[:, ring, 1] += opening[:, None]
    return moved(rng, track)


@pytest.fixture
def source(rng, face):
    """Another face: another shape, in another place, on another scale, that moves too."""
    shape = face + rng.normal(0, 0.03, face.shape) * [1, 1, 0.5]
    track = np.repeat(shape[None], 20, axis=0)
    track[:, EYES] += rng.normal(0, 0.01, (20, 1, 3))
    track[:, LIPS] += rng.normal(0, 0.01, (20, 1, 3))
    return 0.5 * moved(rng, track) + [0.3, -0.2, 0.1], (0.5 * shape + [0.3, -0.2, 0.1])


def expression(track, neutral):
    return decompose(track, neutral).expression


def pose(track, neutral):
    motion = decompose(track, neutral)
    return motion.rotation, motion.scale, motion.translation


def assert_same_pose(one, other, neutral):
    """Up to what a robust fit sees of expressions, which move eye corners."""
    for a, b in zip(pose(one, neutral), pose(other, neutral)):
        np.testing.assert_allclose(a, b, atol=0.02)


def test_no_strength_leaves_a_picture_as_it_is(driver, face, source):
    picture = source[1]
    for region in ("all", "pose"):
        still = transfer(driver, face, picture[None], picture, region=region, strength=0.0)
        np.testing.assert_allclose(still, np.broadcast_to(still[0], still.shape), atol=1e-6)
    np.testing.assert_allclose(still, np.broadcast_to(picture, still.shape), atol=1e-5)


def test_a_driver_at_rest_leaves_a_picture_where_it_is(face, source):
    picture = source[1]
    still = np.repeat(face[None], 6, axis=0)
    result = transfer(still, face, picture[None], picture)
    stable = list(topology.STABLE)
    np.testing.assert_allclose(result[:, stable], np.broadcast_to(picture[stable], (6, len(stable), 3)), atol=1e-2)


def test_absolute_motion_of_all_is_retargeting(driver, face, source):
    """At full strength, with the whole pose the driver's own."""
    expected = retarget(driver, source[1], face)
    result = transfer(driver, face, source[1][None], source[1], start="absolute")
    scale = np.ptp(driver[..., 0])
    np.testing.assert_allclose(
        decompose(result, source[1]).rotation, decompose(expected, source[1]).rotation, atol=0.02
    )
    centre = list(topology.STABLE)
    np.testing.assert_allclose(result[:, centre].mean(axis=1), expected[:, centre].mean(axis=1), atol=0.02 * scale)


def test_relative_motion_starts_at_the_sources_own_pose(rng, face):
    """A driver seen from the left, whatever it does, turns a source seen from the right by as much as it turns."""
    left, right = (Rotation.from_euler("y", angle, degrees=True) for angle in (30, -25))
    angles = np.linspace(-10, 10, 21)
    nodding = Rotation.from_euler("x", angles[:, None], degrees=True) * left
    driver = face @ np.swapaxes(nodding.as_matrix(), 1, 2)
    picture = face @ right.as_matrix().T + [0.1, 0.2, 0.0]
    result = transfer(driver, driver[10], picture[None], picture)
    turned = Rotation.from_matrix(decompose(result, picture).rotation).as_euler("xyz", degrees=True)
    np.testing.assert_allclose(turned[:, 0], angles, atol=0.5)
    np.testing.assert_allclose(turned[:, 1:], 0, atol=0.5)
    np.testing.assert_allclose(result[10], picture, atol=1e-4)


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_strength_scales_turns_and_ways(rng, face, strength):
    angles = np.linspace(-8, 8, 17)
    turns = Rotation.from_euler("z", angles[:, None], degrees=True).as_matrix()
    driver = face @ np.swapaxes(turns, 1, 2)
    driver += np.linspace(-0.1, 0.1, 17)[:, None, None] * [1, 0, 0]
    result = transfer(driver, face, face[None], face, strength=strength)
    motion = decompose(result, face)
    seen = Rotation.from_matrix(motion.rotation).as_euler("xyz", degrees=True)[:, 2]
    np.testing.assert_allclose(seen, strength * angles, atol=0.1)
    centre = result[:, list(topology.STABLE)].mean(axis=1)
    way = driver[:, list(topology.STABLE)].mean(axis=1)
    np.testing.assert_allclose(centre[16] - centre[0], strength * (way[16] - way[0]), atol=0.01)


def test_expression_keeps_the_sources_own_pose(driver, face, source):
    track, neutral = source
    result = transfer(driver, face, track, neutral, region="expression")
    assert_same_pose(result, track, neutral)
    opening = [np.linalg.norm(p[:, 13] - p[:, 14], axis=-1) for p in (result, driver)]
    size = [decompose(p, n).scale for p, n in ((result, neutral), (driver, face))]
    assert np.corrcoef(opening[0] / size[0], opening[1] / size[1])[0, 1] > 0.99


def test_pose_keeps_the_sources_own_expression(driver, face, source):
    track, neutral = source
    result = transfer(driver, face, track, neutral, region="pose")
    np.testing.assert_allclose(expression(result, neutral), expression(track, neutral), atol=2e-3)


@pytest.mark.parametrize(("region", "points"), [("lips", LIPS), ("eyes", EYES)])
def test_a_part_is_the_drivers_and_the_rest_the_sources(driver, face, source, region, points):
    track, neutral = source
    result = transfer(driver, face, track, neutral, region=region)
    whole = transfer(driver, face, track, neutral, region="expression")
    np.testing.assert_allclose(result[:, points], whole[:, points], atol=1e-6)
    width = np.linalg.norm(neutral[33] - neutral[263])
    distance = np.linalg.norm(neutral[:, None] - neutral[points], axis=-1).min(axis=1)
    far = distance > 0.8 * width
    assert far.sum() > 20
    np.testing.assert_allclose(result[:, far], track[:, far], atol=2e-3)


def test_a_source_driven_by_itself_is_itself(driver, face):
    for region in ("all", "expression", "pose", "lips", "eyes"):
        result = transfer(driver, face, driver, face, region=region)
        np.testing.assert_allclose(result, driver, atol=2e-3)


def test_the_drivers_place_and_size_do_not_matter(driver, face, source):
    track, neutral = source
    turn = Rotation.from_euler("z", 20, degrees=True).as_matrix()
    other = 3 * driver + [5, 2, 1]
    np.testing.assert_allclose(transfer(other, face, track, neutral), transfer(driver, face, track, neutral), atol=1e-4)
    np.testing.assert_allclose(  # a neutral face may be given in any pose
        transfer(driver, face @ turn.T, track, neutral), transfer(driver, face, track, neutral), atol=5e-3
    )


def test_resample(rng):
    track, times = rng.normal(size=(6, 478, 3)).astype(np.float32), np.array([0, 0.1, 0.2, 0.5, 0.6, 0.7])
    np.testing.assert_allclose(resample(track, times, times), track, atol=1e-6)
    np.testing.assert_allclose(resample(track, times, np.array([0.35])), (track[2:3] + track[3:4]) / 2, atol=1e-6)
    np.testing.assert_allclose(resample(track, times, np.array([-1.0, 9.0])), track[[0, -1]], atol=1e-6)
