"""Whether the mouth opens when it should."""

import numpy as np
from jaxtyping import Bool, Float

from adiff_jax.evals.landmarks import eye_distance

MOUTH_CORRELATION = (
    "Pearson correlation over the frames with a face, between the measured and the requested mouth opening: the 2-D "
    "distance of the inner lips (points 13 and 14) over the distance between the eye centres; a still mouth counts as 0"
)

_UPPER_LIP, _LOWER_LIP = 13, 14


def mouth_opening(points: Float[np.ndarray, "F K P"]) -> Float[np.ndarray, "F"]:
    """Distance of the inner lips in units of the distance between the eye centres; 0 is closed."""
    lips = np.linalg.norm(points[..., _UPPER_LIP, :2] - points[..., _LOWER_LIP, :2], axis=-1)
    return lips / eye_distance(points)


def correlation(a: Float[np.ndarray, "F"], b: Float[np.ndarray, "F"]) -> float:
    """Pearson's r in [-1, 1]; 0 when either is constant, since what never moves follows nothing."""
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 1e-12 else 0.0


def mouth_correlation(
    measured: Float[np.ndarray, "F K P"],
    requested: Float[np.ndarray, "F K Q"],
    found: Bool[np.ndarray, "F"],
) -> float:
    """See `MOUTH_CORRELATION`; NaN with fewer than two frames with a face."""
    if found.sum() < 2:
        return float("nan")
    return correlation(mouth_opening(measured[found]), mouth_opening(requested[found]))
