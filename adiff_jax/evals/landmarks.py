"""Whether a face is there, and how far its landmarks are from where they were asked to be."""

import numpy as np
from jaxtyping import Bool, Float

FOUND_RATE = "share of frames in which MediaPipe FaceLandmarker finds a face"
LANDMARK_ERROR = (
    "mean over frames with a face and over the 478 points of the 2-D distance between the landmark that MediaPipe "
    "measures and the requested one, as a share of the requested distance between the eye centres in that frame"
)

_RIGHT_EYE = (33, 133)
_LEFT_EYE = (362, 263)


def eye_distance(points: Float[np.ndarray, "F K P"]) -> Float[np.ndarray, "F"]:
    """2-D distance between the eye centres, each midway between the eye's corners, in the unit of `points`."""
    right, left = (points[..., corners, :2].mean(axis=-2) for corners in (_RIGHT_EYE, _LEFT_EYE))
    return np.linalg.norm(left - right, axis=-1)


def found_rate(found: Bool[np.ndarray, "F"]) -> float:
    """See `FOUND_RATE`; in [0, 1]."""
    return float(np.mean(found))


def landmark_error(
    measured: Float[np.ndarray, "F K P"],
    requested: Float[np.ndarray, "F K Q"],
    found: Bool[np.ndarray, "F"],
) -> float:
    """See `LANDMARK_ERROR`; a ratio, 0 is best, NaN when no face was found at all."""
    if not found.any():
        return float("nan")
    distance = np.linalg.norm(measured[found, :, :2] - requested[found, :, :2], axis=-1)
    return float((distance.mean(axis=-1) / eye_distance(requested[found])).mean())
