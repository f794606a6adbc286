"""AED, average expression distance: here on MediaPipe's blendshapes (papers use other extractors)."""

import numpy as np
from jaxtyping import Bool, Float

AED = (
    "average expression distance: mean absolute difference of MediaPipe's 52 blendshape scores (0 to 1) between the "
    "video and the driving clip, over the frames where both have a face"
)

AED_MOTION = (
    "AED after each video's own mean over the frames is taken off every score: what is left is motion, without the "
    "scores that MediaPipe gives to a face for its shape"
)


def expression_distance(
    blendshapes: Float[np.ndarray, "F 52"],
    driver: Float[np.ndarray, "F 52"],
    found: Bool[np.ndarray, "F"],
) -> float:
    """See `AED`; in [0, 1], 0 is best, NaN when no frame counts."""
    if not found.any():
        return float("nan")
    return float(np.abs(blendshapes[found] - driver[found]).mean())


def expression_motion_distance(
    blendshapes: Float[np.ndarray, "F 52"],
    driver: Float[np.ndarray, "F 52"],
    found: Bool[np.ndarray, "F"],
) -> float:
    """See `AED_MOTION`; 0 is best, NaN when no frame counts."""
    if not found.any():
        return float("nan")
    moved, wanted = (scores[found] - scores[found].mean(axis=0) for scores in (blendshapes, driver))
    return float(np.abs(moved - wanted).mean())
