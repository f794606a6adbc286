"""Soft masks of the part of a face that was made anew."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from adiff_jax.media.regions import Region
from adiff_jax.media.transfer import region_points

# How far a mask reaches beyond the part, in widths of the face, the mouth or the eye; it fades over as much.
_MARGIN = {"all": 0.12, "pose": 0.12, "expression": 0.03, "lips": 0.11, "eyes": 0.18}
_HEAD = 1.25  # the head beside the face, in sizes of it: ears and neck
_HAIR = 0.4  # the hair above it, in heights of the face


def region_mask(
    region: Region, tracks: tuple[Float[np.ndarray, "K P"], ...], size: int
) -> UInt8[np.ndarray, "size size"]:
    """255 where the part of the face is, in the picture before or after, falling smoothly to 0 around it.

    Args:
        region: which part; where the head itself moves (`all`, `pose`) it is the head with its hair.
        tracks: landmarks in [-1, 1] of the crop, of both pictures.
        size: side of the crop in pixels.
    """
    pixels = [(track[:, :2].astype(np.float64) + 1) * (size / 2) - 0.5 for track in tracks]
    if region in ("lips", "eyes"):
        parts = [np.concatenate([track[list(points)] for track in pixels]) for points, _ in region_points(region)]
        widths = [
            max(np.linalg.norm(track[first] - track[second]) for track in pixels)
            for _, (first, second) in region_points(region)
        ]
    else:
        parts = [np.concatenate(pixels if region == "expression" else [_head(track) for track in pixels])]
        widths = [np.ptp(pixels[0][:, 0])]
    mask = np.zeros((size, size), np.uint8)
    for part, width in zip(parts, widths, strict=True):
        mask = np.maximum(mask, _soft_hull(part, max(1, round(_MARGIN[region] * float(width))), size))
    return mask


def _head(face: Float[np.ndarray, "K 2"]) -> Float[np.ndarray, "K2 2"]:
    """The face's points moved outwards, and again with the hair's height above them."""
    centre = (face.min(axis=0) + face.max(axis=0)) / 2
    wide = centre + _HEAD * (face - centre)
    return np.concatenate([wide, wide - [0, _HAIR * np.ptp(face[:, 1])]])


def _soft_hull(points: Float[np.ndarray, "N 2"], reach: int, size: int) -> UInt8[np.ndarray, "size size"]:
    """The convex hull, `reach` pixels wider, with an edge that falls over about twice as many."""
    hull = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.rint(points).astype(np.int32)), 255)
    hull = cv2.dilate(hull, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    return cv2.GaussianBlur(hull, (0, 0), reach / 2)
