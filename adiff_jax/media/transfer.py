"""Which part of the driver's motion the source gets, from where it starts, and how strong it is.

A head's pose is its rotation, its size, and where its centre is. Relative motion starts from the source's own pose and
changes it as the driver's changes from its rest; absolute motion takes the driver's pose as it is.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Float32
from scipy.spatial.transform import Rotation

from adiff_jax.media import topology
from adiff_jax.media.motion import HeadMotion, decompose, retarget
from adiff_jax.media.regions import Region, Start

_FADE = 0.35  # how far from lips or lids their motion fades out, in widths of the mouth or the eye


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where a head is over `F` frames, or at rest (`F` = 1).

    Attributes:
        rotation: from the neutral shape's frame to the camera's.
        centre: mean of the points that expressions hardly move, in the unit of the track.
        size: relative to the neutral shape's.
    """

    rotation: Rotation
    centre: Float[np.ndarray, "F 3"]
    size: Float[np.ndarray, "F"]


def transfer(
    driver: Float[np.ndarray, "F K 3"],
    driver_neutral: Float[np.ndarray, "K 3"],
    source: Float[np.ndarray, "#F K 3"],
    source_neutral: Float[np.ndarray, "K 3"],
    *,
    region: Region = "all",
    start: Start = "relative",
    strength: float = 1.0,
) -> Float32[np.ndarray, "F K 3"]:
    """The source's face with the driver's motion, or with part of it.

    Args:
        driver: the driver's landmark track.
        driver_neutral: the driver's face at rest.
        source: the source's own track, frame by frame as the driver's; one frame if it is a picture.
        source_neutral: the source's face at rest; that of a picture is its only frame.
        region: what is the driver's: all; the expression; the head's pose; the lips or the eyes alone. The rest is the
            source's own motion.
        start: `relative` or `absolute`, see the top of the file.
        strength: factor of how far the driver's pose and expression go from their rest; 0 is none of it.

    Returns:
        A track in the unit and at the place of `source`, or with absolute pose at those of `driver`.
    """
    num_frames = len(driver)
    own = decompose(np.broadcast_to(source, driver.shape), source_neutral)
    expression, pose = own.expression, _pose(own, source_neutral)
    if region != "pose":
        driven = decompose(retarget(driver, source_neutral, driver_neutral, strength), source_neutral).expression
        weight = _weights(source_neutral, region)
        expression = expression + weight * (driven - expression)
    if region in ("all", "pose"):
        moving = _pose(decompose(driver, driver_neutral), driver_neutral)
        rest = _rest(moving)
        begin = _rest(pose) if start == "relative" else rest
        pose = _moved(begin, rest, moving, strength)
    rotation, shape = pose.rotation.as_matrix(), source_neutral.astype(np.float64) + expression
    centred = shape - source_neutral[list(topology.STABLE)].mean(axis=0)
    size = np.broadcast_to(pose.size, num_frames)[:, None, None]
    return (size * centred @ np.swapaxes(rotation, 1, 2) + pose.centre[:, None]).astype(np.float32)


def resample(
    points: Float[np.ndarray, "F K 3"], times: Float[np.ndarray, "F"], wanted: Float[np.ndarray, "N"]
) -> Float32[np.ndarray, "N K 3"]:
    """The track at other times, interpolated linearly; before the first and after the last frame it is held."""
    place = np.interp(wanted, times, np.arange(len(times)))
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, len(times) - 1)
    share = (place - low)[:, None, None]
    return ((1 - share) * points[low] + share * points[high]).astype(np.float32)


def _pose(motion: HeadMotion, neutral: Float[np.ndarray, "K 3"]) -> Pose:
    centre = neutral[list(topology.STABLE)].mean(axis=0)
    place = motion.scale[:, None] * (motion.rotation @ centre) + motion.translation
    return Pose(Rotation.from_matrix(motion.rotation), place, motion.scale)


def _rest(pose: Pose) -> Pose:
    """The pose that a head is in most: medians, so that a glance aside does not count."""
    mean = pose.rotation.mean()
    turn = Rotation.from_rotvec(np.median((pose.rotation * mean.inv()).as_rotvec(), axis=0))
    return Pose(
        Rotation.from_matrix((turn * mean).as_matrix()[None]),
        np.median(pose.centre, axis=0, keepdims=True),
        np.median(pose.size, keepdims=True),
    )


def _moved(begin: Pose, rest: Pose, moving: Pose, strength: float) -> Pose:
    """The pose `begin`, changed as `moving` differs from `rest`."""
    turn = moving.rotation * rest.rotation.inv()
    grown = begin.size / rest.size
    return Pose(
        Rotation.from_rotvec(strength * turn.as_rotvec()) * begin.rotation,
        begin.centre + strength * grown[:, None] * (moving.centre - rest.centre),
        begin.size * (moving.size / rest.size) ** strength,
    )


def _weights(neutral: Float[np.ndarray, "K 3"], region: Region) -> Float[np.ndarray, "K 1"]:
    """How much of each point's expression is the driver's: 1 at the region, fading to 0 away from it."""
    if region in ("all", "expression"):
        return np.ones((len(neutral), 1))
    weight = np.zeros((len(neutral), 1))
    for points, corners in region_points(region):
        width = np.linalg.norm(neutral[corners[0]] - neutral[corners[1]])
        distance = np.linalg.norm(neutral[:, None] - neutral[list(points)], axis=-1).min(axis=1, keepdims=True)
        weight = np.maximum(weight, np.exp(-0.5 * (distance / (_FADE * width)) ** 2))
    return weight


def region_points(region: Region) -> list[tuple[tuple[int, ...], tuple[int, int]]]:
    """The points of each lip pair or eye in a region, and its two corners."""
    if region == "lips":
        rings = [index for ring in topology.UPPER_LIP + topology.LOWER_LIP for index in ring]
        return [((*rings, *topology.MOUTH_CORNERS), topology.MOUTH_CORNERS)]
    return [(eye.corners + eye.upper + eye.lower + eye.iris, eye.corners) for eye in topology.EYES]
