"""Soft masks of the part of a face that was made anew."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from adiff_jax.media.transfer import Region, region_points

_MARGIN = {"expression": 0.06, "lips": 0.22, "eyes": 0.35}  # around the part, in widths of the face, mouth or eye


def region_mask(
    region: Region, tracks: tuple[Float[np.ndarray, "K P"], ...], size: int
) -> UInt8[np.ndarray, "size size"]:
    """255 where the part of the face is, in the picture before or after, falling smoothly to 0 around it.

    Args:
        region: which part; where the head itself moves (`all`, `pose`) it is the whole crop.
        tracks: landmarks in [-1, 1] of the crop, of both pictures.
        size: side of the crop in pixels.
    """
    if region in ("all", "pose"):
        return np.full((size, size), 255, np.uint8)
    parts = [(tuple(range(len(tracks[0]))), None)] if region == "expression" else region_points(region)
    mask = np.zeros((size, size), np.uint8)
    for points, corners in parts:
        both = np.concatenate([(track[list(points), :2] + 1) * (size / 2) - 0.5 for track in tracks])
        if corners is None:
            width = np.ptp(both[:, 0])
        else:
            width = max(np.linalg.norm(track[corners[0], :2] - track[corners[1], :2]) for track in tracks) * size / 2
        reach = max(1, round(_MARGIN[region] * width / 2))
        part = np.zeros_like(mask)
        cv2.fillConvexPoly(part, cv2.convexHull(np.rint(both).astype(np.int32)), 255)
        part = cv2.dilate(part, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
        mask = np.maximum(mask, cv2.GaussianBlur(part, (0, 0), reach / 2))
    return mask
