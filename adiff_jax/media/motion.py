"""Whose face it is and how it moves, taken apart and put together again: relative motion.

A landmark track is a neutral shape, plus an expression in the frame of the head, moved rigidly:

    points[f] = scale[f] * (neutral + expression[f]) @ rotation[f].T + translation[f]

Retargeting keeps the driver's motion and puts the source's neutral shape in. All functions work in any unit (pixels, or
crops normalised to [-1, 1]) and commute with similarity transforms of the driver and of the source.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from adiff_jax.media import topology

_HUBER_ROUNDS = 4
_HUBER_DEVIATIONS = 1.5
_EXACT = 1e-9  # of the extent of a track: what counts as a perfect fit
_RIDGE = 0.01  # of the variance of a blendshape over a clip, which is about 0.01 to 0.05 where it is active
_STILL = 0.02  # what counts as no motion of a lid or lip, in widths of the eye or the mouth
_REACH = 0.5  # how far around an eye or the mouth its proportions matter, in widths of it


@dataclasses.dataclass(frozen=True)
class HeadMotion:
    """The motion of a head over `F` frames, apart from its neutral shape; see the top of the file.

    Attributes:
        rotation: proper rotations.
        translation: in the unit of the track.
        scale: size of the head relative to the neutral shape's.
        expression: offsets from the neutral shape, in its frame and unit.
    """

    rotation: Float[np.ndarray, "F 3 3"]
    translation: Float[np.ndarray, "F 3"]
    scale: Float[np.ndarray, "F"]
    expression: Float[np.ndarray, "F K 3"]

    def apply(self, neutral: Float[np.ndarray, "K 3"]) -> Float[np.ndarray, "F K 3"]:
        """The track of a head of this neutral shape."""
        turned = (neutral + self.expression) @ np.swapaxes(self.rotation, 1, 2)
        return self.scale[:, None, None] * turned + self.translation[:, None]


def decompose(points: Float[np.ndarray, "F K 3"], neutral: Float[np.ndarray, "K 3"]) -> HeadMotion:
    """Splits a track into rigid motion and expression; `HeadMotion.apply(neutral)` gives the track back exactly.

    The rigid part is the similarity between the points that expressions hardly move, `topology.STABLE`, fitted with
    Huber weights, so that a raised brow or a badly seen temple does not turn the head.
    """
    points, neutral = points.astype(np.float64), neutral.astype(np.float64)
    stable = list(topology.STABLE)
    exact = _EXACT * np.ptp(points)
    weights = np.ones((len(points), len(stable)))
    for _ in range(_HUBER_ROUNDS):
        rotation, translation, scale = _similarity(points[:, stable], neutral[stable], weights)
        fitted = scale[:, None, None] * neutral[stable] @ np.swapaxes(rotation, 1, 2) + translation[:, None]
        residual = np.linalg.norm(points[:, stable] - fitted, axis=-1)
        limit = np.maximum(_HUBER_DEVIATIONS * np.median(residual, axis=-1, keepdims=True), exact)
        weights = limit / np.maximum(residual, limit)
    head = (points - translation[:, None]) @ rotation / scale[:, None, None]
    return HeadMotion(rotation, translation, scale, head - neutral)


def _similarity(
    target: Float[np.ndarray, "F P 3"], reference: Float[np.ndarray, "P 3"], weights: Float[np.ndarray, "F P"]
) -> tuple[Float[np.ndarray, "F 3 3"], Float[np.ndarray, "F 3"], Float[np.ndarray, "F"]]:
    """Weighted least-squares rotation, translation and scale from the reference to each target (Umeyama 1991)."""
    weights = (weights / weights.sum(axis=-1, keepdims=True))[..., None]
    target_mean = (weights * target).sum(axis=1)
    reference_mean = (weights * reference).sum(axis=1)
    target = target - target_mean[:, None]
    reference = reference - reference_mean[:, None]
    u, singular, vt = np.linalg.svd(np.swapaxes(weights * target, 1, 2) @ reference)
    signs = np.ones_like(singular)
    signs[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * signs[:, None]) @ vt
    scale = (singular * signs).sum(axis=-1) / (weights * reference**2).sum(axis=(1, 2))
    translation = target_mean - scale[:, None] * np.einsum("fij,fj->fi", rotation, reference_mean)
    return rotation, translation, scale


def estimate_neutral(
    points: Float[np.ndarray, "F K 3"], blendshapes: Float[np.ndarray, "F 52"] | None = None
) -> Float[np.ndarray, "K 3"]:
    """The face at rest, from a whole clip, in none of whose frames it need be at rest.

    With blendshapes: the intercept of a ridge regression of the shapes on the scores, that is, the shape at which every
    score would be 0. Where a score hardly varies over the clip the ridge keeps the mean shape. Without them: the median
    shape, whose eyes are open, and whose lips may be a little apart, which `retarget` copes with.

    Args:
        points: a landmark track.
        blendshapes: the scores of the same frames, in [0, 1].

    Returns:
        The shape, placed as the face with the least expression is in its frame.
    """
    calmest = 0 if blendshapes is None else int((blendshapes[:, 1:] ** 2).sum(axis=1).argmin())
    neutral = points[calmest]
    for _ in range(2):
        shapes = neutral + decompose(points, neutral).expression
        if blendshapes is None:
            neutral = np.median(shapes, axis=0)
        else:
            neutral = _intercept(blendshapes[:, 1:].astype(np.float64), shapes)  # the first score is no expression
    return neutral.astype(np.float32)


def _intercept(scores: Float[np.ndarray, "F 51"], shapes: Float[np.ndarray, "F K 3"]) -> Float[np.ndarray, "K 3"]:
    mean_scores, mean_shape = scores.mean(axis=0), shapes.mean(axis=0)
    centred = scores - mean_scores
    gram = centred.T @ centred + _RIDGE * len(scores) * np.eye(scores.shape[1])
    slopes = np.linalg.solve(gram, centred.T @ (shapes - mean_shape).reshape(len(shapes), -1))
    return mean_shape - (mean_scores @ slopes).reshape(mean_shape.shape)


def retarget(
    points: Float[np.ndarray, "F K 3"],
    source_neutral: Float[np.ndarray, "K 3"],
    driver_neutral: Float[np.ndarray, "K 3"] | None = None,
    strength: float = 1.0,
) -> Float[np.ndarray, "F K 3"]:
    """Relative motion: the source's face with the driver's head pose and expression.

    Offsets around eyes and mouth are scaled to the width these have in the source. What touches in the driver touches
    in the result: lips are as far apart as the driver's, on the source's scale, and lids close by the same fraction of
    the neutral opening. Irises keep the driver's gaze, their place relative to the opening of the eye.

    (Absolute motion, with the driver's own shape, is `points` itself.)

    Args:
        points: the driver's landmark track.
        source_neutral: the source's face at rest, in any unit, pose and place.
        driver_neutral: the driver's face at rest; None estimates it by `estimate_neutral(points)`. With blendshapes at
            hand give them to that function and its result to this one.
        strength: factor of the expression, not of the head's motion; 0 freezes the face.

    Returns:
        A track in the unit and at the place of `points`; with `source_neutral = driver_neutral` it is `points`.
    """
    if driver_neutral is None:
        driver_neutral = estimate_neutral(points)
    driver_neutral = driver_neutral.astype(np.float64)
    motion = decompose(points, driver_neutral)
    neutral = driver_neutral + decompose(source_neutral[None], driver_neutral).expression[0]
    expression = strength * motion.expression
    driver = driver_neutral + expression
    source = neutral + expression * _proportions(driver_neutral, neutral)
    _fit_lips(source, driver, neutral, driver_neutral)
    for eye in topology.EYES:
        _fit_lids(eye, source, driver, neutral, driver_neutral)
        _fit_iris(eye, source, driver, neutral, driver_neutral)
    return dataclasses.replace(motion, expression=source - neutral).apply(neutral).astype(np.float32)


def _width(neutral: Float[np.ndarray, "K 3"], corners: tuple[int, int]) -> float:
    return float(np.linalg.norm(neutral[corners[0]] - neutral[corners[1]]))


def _proportions(driver: Float[np.ndarray, "K 3"], source: Float[np.ndarray, "K 3"]) -> Float[np.ndarray, "K 1"]:
    """Factor of each point's offset: the ratio of widths at eyes and mouth, fading to 1 away from them."""
    factor = np.ones((len(driver), 1))
    for corners in (topology.MOUTH_CORNERS, *(eye.corners for eye in topology.EYES)):
        width = _width(driver, corners)
        distance = np.linalg.norm(driver - driver[list(corners)].mean(axis=0), axis=-1, keepdims=True)
        factor += np.exp(-0.5 * (distance / (_REACH * width)) ** 2) * (_width(source, corners) / width - 1)
    return factor


def _fit_lips(
    source: Float[np.ndarray, "F K 3"],
    driver: Float[np.ndarray, "F K 3"],
    source_neutral: Float[np.ndarray, "K 3"],
    driver_neutral: Float[np.ndarray, "K 3"],
) -> None:
    """Sets, in `source`, the lips as far apart as the driver's, on the scale of the source's mouth."""
    upper, lower = topology.UPPER_LIP, topology.LOWER_LIP
    width = _width(driver_neutral, topology.MOUTH_CORNERS)
    scale = _width(source_neutral, topology.MOUTH_CORNERS) / width
    gap = scale * (driver[:, lower[0]] - driver[:, upper[0]])
    missing = gap - (source[:, lower[0]] - source[:, upper[0]])
    up = _upper_share(driver, driver_neutral, upper[0], lower[0], width)
    for upper_ring, lower_ring in zip(upper, lower, strict=True):
        source[:, upper_ring] -= up * missing
        source[:, lower_ring] += (1 - up) * missing


def _fit_lids(
    eye: topology.Eye,
    source: Float[np.ndarray, "F K 3"],
    driver: Float[np.ndarray, "F K 3"],
    source_neutral: Float[np.ndarray, "K 3"],
    driver_neutral: Float[np.ndarray, "K 3"],
) -> None:
    """Sets, in `source`, the lids apart by the source's neutral gap where the driver's is neutral, by none at none."""
    upper, lower = eye.upper, eye.lower
    neutral_gap = driver_neutral[list(lower)] - driver_neutral[list(upper)]
    difference = source_neutral[list(lower)] - source_neutral[list(upper)] - neutral_gap
    gap = driver[:, lower] - driver[:, upper]
    openness = (gap * neutral_gap).sum(axis=-1, keepdims=True) / (neutral_gap**2).sum(axis=-1, keepdims=True)
    wanted = gap + np.clip(openness, 0, 1) * difference
    missing = wanted - (source[:, lower] - source[:, upper])
    up = _upper_share(driver, driver_neutral, upper, lower, _width(driver_neutral, eye.corners))
    source[:, upper] -= up * missing
    source[:, lower] += (1 - up) * missing


def _upper_share(
    driver: Float[np.ndarray, "F K 3"],
    neutral: Float[np.ndarray, "K 3"],
    upper: tuple[int, ...],
    lower: tuple[int, ...],
    width: float,
) -> Float[np.ndarray, "F P 1"]:
    """How much of the change of each gap the upper side makes in the driver; half where neither side moves."""
    moved = [
        np.linalg.norm(driver[:, side] - neutral[list(side)], axis=-1, keepdims=True) + _STILL * width
        for side in (upper, lower)
    ]
    return moved[0] / (moved[0] + moved[1])


def _fit_iris(
    eye: topology.Eye,
    source: Float[np.ndarray, "F K 3"],
    driver: Float[np.ndarray, "F K 3"],
    source_neutral: Float[np.ndarray, "K 3"],
    driver_neutral: Float[np.ndarray, "K 3"],
) -> None:
    """Sets, in `source`, the iris where the driver looks; it keeps the radius it has in the source."""
    contour = eye.corners + eye.upper + eye.lower
    centre, rim = eye.iris[0], list(eye.iris[1:])
    width = _width(source_neutral, eye.corners) / _width(driver_neutral, eye.corners)
    radius = _radius(source_neutral, centre, rim) / _radius(driver_neutral, centre, rim)
    gaze = driver[:, centre] - driver[:, contour].mean(axis=1)
    source[:, centre] = source[:, contour].mean(axis=1) + width * gaze
    source[:, rim] = source[:, [centre]] + radius * (driver[:, rim] - driver[:, [centre]])


def _radius(neutral: Float[np.ndarray, "K 3"], centre: int, rim: list[int]) -> float:
    return float(np.linalg.norm(neutral[rim] - neutral[centre], axis=-1).mean())
