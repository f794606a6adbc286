"""Whether hair, clothes and background keep their colours over a video."""

import numpy as np
from jaxtyping import Bool, Float, UInt8

COLOUR_DRIFT = (
    "standard deviation over the frames of a region's mean colour (root mean square over red, green, blue; 0 to 255), "
    "as a share of the standard deviation of the same mean colour over different people"
)

SATURATION = (
    "mean over frames and pixels of (max - min) of red, green, blue, 0 to 255; stands beside the drifts, which frames "
    "washed to grey would flatter"
)


def region_colour(frames: UInt8[np.ndarray, "F H W 3"], region: Bool[np.ndarray, "F H W"]) -> Float[np.ndarray, "F 3"]:
    """Mean colour inside the region of each frame, 0 to 255; NaN where the region is empty."""
    weight = region[..., None].astype(np.float64)
    with np.errstate(invalid="ignore"):
        return (frames * weight).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))


def colour_deviation(colours: Float[np.ndarray, "N 3"]) -> float:
    """Standard deviation over the first axis, root mean square over the channels; rows with NaN do not count.

    NaN with fewer than two rows.
    """
    colours = colours[np.isfinite(colours).all(axis=-1)]
    if len(colours) < 2:
        return float("nan")
    return float(np.sqrt(colours.var(axis=0).mean()))


def saturation(frames: UInt8[np.ndarray, "*F 3"]) -> float:
    """See `SATURATION`."""
    return float((frames.max(axis=-1).astype(np.float64) - frames.min(axis=-1)).mean())
