"""The face crop: one rule for data preparation and inference.

A box is `(cx, cy, side)`: a square in pixels of the frame, where pixel `i` covers [i, i + 1). Points inside it are
normalised to [-1, 1].
"""

import math

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.ndimage import gaussian_filter1d

BOX_SIDE = 1.6  # in longer sides of the face's bounding box: the face then fills about 60 % of the height
BOX_RISE = 0.06  # how far the box's centre lies above the face's, in sides of the box: room for hair
FACE_MARGIN = 0.02  # least distance of the face from the border, in sides of the box
FEATHER = 0.1

_FILTER_SUPPORT = 3  # Lanczos, in pixels of the coarser grid
# A picture at least twice this times as fine as the result is averaged over whole squares of pixels first: half the
# time, and on nine crops of real clips never more than 9 levels of 255 (51 dB) from one filter alone.
_REDUCING_GAP = 1.5


def crop_track(points: Float[np.ndarray, "F K P"]) -> Float[np.ndarray, "F 3"]:
    """The crop boxes of a clip: one fixed box if the face stays inside it, else one that follows it smoothly.

    Head motion is motion to be reenacted, so it has to stay visible in the crop: the side is fixed, `BOX_SIDE` times
    the largest extent of the face over the clip, and the centre moves only as much as keeps the face inside. Of the
    face's paths smoothed by Gaussians of half, a quarter, ... of the clip's length, the smoothest that does is taken.

    Args:
        points: the landmarks of the whole clip, none missing, in pixels.

    Returns:
        A box for each frame; equal rows when the box is fixed.
    """
    low, high = points[..., :2].min(axis=1), points[..., :2].max(axis=1)
    side = BOX_SIDE * (high - low).max()
    centres = (low + high) / 2
    slack = side * (0.5 - FACE_MARGIN) - (high - low) / 2
    path = np.broadcast_to(centres.mean(axis=0), centres.shape)
    rise = np.array([0, BOX_RISE * side])
    sigma = len(points) / 2
    while (abs(centres - (path - rise)) > slack).any() and sigma > 0.5:
        path = gaussian_filter1d(centres, sigma, axis=0, mode="nearest")
        sigma /= 2
    return np.concatenate([path - rise, np.full((len(points), 1), side)], axis=1)


def normalise(points: Float[np.ndarray, "*F K P"], box: Float[np.ndarray, "*F 3"]) -> Float[np.ndarray, "*F K P"]:
    """Points in pixels -> points in [-1, 1] of the box: x right, y down; z, if there, is only scaled."""
    offset = np.zeros_like(points[..., :1, :])
    offset[..., 0, :2] = box[..., :2]
    return (points - offset) / (box[..., 2, None, None] / 2)


def denormalise(points: Float[np.ndarray, "*F K P"], box: Float[np.ndarray, "*F 3"]) -> Float[np.ndarray, "*F K P"]:
    """The inverse of `normalise`."""
    offset = np.zeros_like(points[..., :1, :])
    offset[..., 0, :2] = box[..., :2]
    return points * (box[..., 2, None, None] / 2) + offset


def crop_image(
    image: UInt8[np.ndarray, "H W 3"], box: Float[np.ndarray, "3"], size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """The box's content at `size` x `size` pixels: Lanczos filtered, without aliasing; border pixels are repeated."""
    cx, cy, side = box.tolist()
    left, top = cx - side / 2, cy - side / 2
    return _resample(image, (left, top, left + side, top + side), (size, size))


def paste_back(
    frame: UInt8[np.ndarray, "H W 3"],
    crop: UInt8[np.ndarray, "size size 3"],
    box: Float[np.ndarray, "3"],
    mask: UInt8[np.ndarray, "size size"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """The frame with the crop put back into its box, blended over the outer `FEATHER` of the box's half side.

    Args:
        frame: the whole picture.
        crop: the content of the box.
        box: where it belongs.
        mask: how much of each of the crop's pixels is taken, 255 for all of it; None takes all.
    """
    cx, cy, side = box.tolist()
    height, width = frame.shape[:2]
    left, right = max(0, math.floor(cx - side / 2)), min(width, math.ceil(cx + side / 2))
    top, bottom = max(0, math.floor(cy - side / 2)), min(height, math.ceil(cy + side / 2))
    if left >= right or top >= bottom:
        return frame
    scale = crop.shape[0] / side
    corners = [(left - cx, top - cy), (right - cx, bottom - cy)]
    region = tuple((value + side / 2) * scale for corner in corners for value in corner)
    patch = _resample(crop, region, (right - left, bottom - top))
    x = abs(np.arange(left, right) + 0.5 - cx) / (side / 2)
    y = abs(np.arange(top, bottom) + 0.5 - cy) / (side / 2)
    ramp = np.clip((1 - np.maximum(x[None, :], y[:, None])) / FEATHER, 0, 1)[..., None]
    weight = ramp * ramp * (3 - 2 * ramp)
    if mask is not None:
        weight = (
            weight * (_resample(mask, region, (right - left, bottom - top), Image.Resampling.BILINEAR) / 255)[..., None]
        )
    result = frame.copy()
    window = result[top:bottom, left:right]
    window[:] = (window + weight * (patch.astype(np.float64) - window)).round()
    return result


def _resample(
    image: UInt8[np.ndarray, "H W *C"],
    region: tuple[float, float, float, float],
    size: tuple[int, int],
    kernel: Image.Resampling = Image.Resampling.LANCZOS,
) -> UInt8[np.ndarray, "h w *C"]:
    """The region (left, top, right, bottom) at `size` (width, height); outside the image its border is repeated."""
    starts, inside, beyond = [], [], []
    for low, high, pixels, length in zip(region[:2], region[2:], size, image.shape[1::-1], strict=True):
        margin = _FILTER_SUPPORT * max(1, (high - low) / pixels)
        start, stop = math.floor(low - margin), math.ceil(high + margin)
        starts.append(start)
        first, last = min(max(start, 0), length - 1), max(min(stop, length), 1)
        before = min(max(-start, 0), stop - start - 1)
        inside.append(slice(first, last))
        beyond.append((before, stop - start - before - (last - first)))
    window = image[inside[1], inside[0]]
    if any(map(any, beyond)):
        (left, right), (top, bottom) = beyond
        window = cv2.copyMakeBorder(window, top, bottom, left, right, cv2.BORDER_REPLICATE)
    shifted = tuple(value - start for value, start in zip(region, starts * 2, strict=True))
    return np.asarray(Image.fromarray(window).resize(size, kernel, box=shifted, reducing_gap=_REDUCING_GAP))
