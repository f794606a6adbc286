"""What is measured of a clip, and the filters that decide by it.

Of values that change from frame to frame the fifth percentile counts, at the bad end, so that one bad frame in many
does no harm.
"""

import itertools

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from scipy.spatial.transform import Rotation

from adiff_jax.data.synthetic.mesh import EYE_TRIANGLES, FACE_OVAL, MOUTH_TRIANGLES, TRIANGLES
from adiff_jax.media import topology
from adiff_jax.media.landmarks import FaceLandmarks
from adiff_jax.prep.options import FilterOptions
from adiff_jax.prep.outcome import ClipRejected

Measures = dict[str, float]

_SEEN_AT = 128  # pixels a side at which sharpness is judged, whatever the size of the pictures
_BLURS = (0.6, 1.2, 2.4)  # pixels at that size: the borders of fine and of coarser detail
_COVERED = 40.0  # difference from the usual colour of a place of the face, 0-255, from which something covers it
_LIGHT = 25.0  # how much the light may change, 0-255
_SKIN = np.setdiff1d(np.arange(len(TRIANGLES)), np.concatenate([EYE_TRIANGLES, MOUTH_TRIANGLES]))


def track_measures(track: FaceLandmarks, part: slice, width: int, height: int) -> Measures:
    """What landmarks alone tell of a part of a track in which the face was always found.

    face: side of the face, pixels; yaw, pitch, roll: degrees; outside: share of the landmarks beyond the picture;
    motion: mean speed of the landmarks, distances between the eyes a second; jump: largest way of the face between two
    frames, sides of the face.
    """
    points, times = track.points[part], track.times[part]
    flat = points[..., :2]
    sides = np.ptp(flat, axis=1).max(axis=-1)
    angles = np.abs(_angles(track.pose[part]))
    beyond = ((flat < 0) | (flat > np.array([width, height]))).any(axis=-1).mean(axis=1)
    measured = {"face": np.percentile(sides, 5), "outside": np.percentile(beyond, 95), "motion": 0.0, "jump": 0.0}
    measured |= dict(zip(("yaw", "pitch", "roll"), np.percentile(angles, 95, axis=0), strict=True))
    if len(flat) > 1:
        ways = np.linalg.norm(np.diff(flat, axis=0), axis=-1)
        speed = ways.mean(axis=1) / np.diff(times)
        measured["motion"] = speed.mean() / eye_distance(flat)
        measured["jump"] = (np.linalg.norm(np.diff(flat.mean(axis=1), axis=0), axis=-1) / sides[1:]).max()
    return {name: round(float(value), 4) for name, value in measured.items()}


def picture_measures(crops: UInt8[np.ndarray, "F H W 3"], points: Float[np.ndarray, "F 478 P"]) -> Measures:
    """What the crops tell.

    sharpness: finest over coarser detail of the face at 128 x 128 pixels, about 1 for a sharp picture and 0 for a
    blurred one; brightness: mean of the face, 0-255; covered: share of the face whose colour is not that which the
    same place of the face has in most of the clip.

    Args:
        crops: the pictures.
        points: landmarks in [-1, 1] of the crop.
    """
    size = crops.shape[1]
    pixels = ((points[..., :2] + 1) * (size / 2) - 0.5).astype(np.float32)
    few = np.unique(np.linspace(0, len(crops) - 1, 8).round().astype(int))
    faces = [_face_mask(pixels[index], size) for index in few]
    grey = [cv2.cvtColor(crops[index], cv2.COLOR_RGB2GRAY) for index in few]
    brightness = [image[mask].mean() if mask.any() else image.mean() for image, mask in zip(grey, faces, strict=True)]
    sharpness = [_sharpness(image, mask) for image, mask in zip(grey, faces, strict=True)]
    measured = {
        "sharpness": np.percentile(sharpness, 5),
        "brightness": np.mean(brightness),
        "covered": np.percentile(_covered(crops, pixels), 95),
    }
    return {name: round(float(value), 4) for name, value in measured.items()}


def check_track(measures: Measures, options: FilterOptions) -> None:
    """Raises `ClipRejected` if the landmarks' measures are not good enough."""
    _check("small face", measures, "face", options.min_face, above=True, unit=" pixels")
    for angle in ("yaw", "pitch", "roll"):
        _check("turned away", measures, angle, getattr(options, f"max_{angle}"), above=False, unit=" degrees")
    _check("outside the picture", measures, "outside", options.max_outside, above=False)
    _check("jumping", measures, "jump", options.max_jump, above=False, unit=" faces")
    _check("still", measures, "motion", options.min_motion, above=True, unit=" eye distances a second")


def check_pictures(measures: Measures, options: FilterOptions) -> None:
    """Raises `ClipRejected` if the pictures' measures are not good enough."""
    _check("too dark", measures, "brightness", options.min_brightness, above=True)
    _check("too bright", measures, "brightness", options.max_brightness, above=False)
    _check("blurred", measures, "sharpness", options.min_sharpness, above=True)
    _check("covered", measures, "covered", options.max_covered, above=False)


def eye_distance(points: Float[np.ndarray, "F 478 P"]) -> float:
    """Median over frames of the distance between the eyes, in the units of the points."""
    eyes = [points[:, eye.corners, :2].mean(axis=1) for eye in topology.EYES]
    return max(float(np.median(np.linalg.norm(eyes[0] - eyes[1], axis=-1))), 1e-6)


def _check(reason: str, measures: Measures, name: str, limit: float, *, above: bool, unit: str = "") -> None:
    value = measures[name]
    if (value < limit) if above else (value > limit):
        raise ClipRejected(reason, f"{name} {value:.3g}{unit}, {'at least' if above else 'at most'} {limit:g} is kept")


def _angles(pose: Float32[np.ndarray, "F 4 4"]) -> Float[np.ndarray, "F 3"]:
    """Yaw, pitch and roll in degrees."""
    scale = np.cbrt(np.linalg.det(pose[:, :3, :3]))
    rotation = pose[:, :3, :3] / np.where(scale > 0, scale, 1)[:, None, None]
    return Rotation.from_matrix(rotation).as_euler("YXZ", degrees=True)


def _face_mask(pixels: Float32[np.ndarray, "478 2"], size: int) -> Bool[np.ndarray, "H W"]:
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(pixels[list(FACE_OVAL)].round().astype(np.int32)), 1)
    return mask.astype(bool)


def _sharpness(grey: UInt8[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"]) -> float:
    """Root mean square of the finest detail within the mask over that of twice as coarse detail.

    In natural pictures the two are about equal; blur takes the finest first. Rounding to whole levels is too little of
    either to count.
    """
    if not mask.any():
        return 0.0
    image = cv2.resize(grey, (_SEEN_AT, _SEEN_AT), interpolation=cv2.INTER_AREA).astype(np.float32)
    inside = cv2.resize(mask.astype(np.uint8), (_SEEN_AT, _SEEN_AT), interpolation=cv2.INTER_NEAREST).astype(bool)
    levels = [cv2.GaussianBlur(image, (0, 0), sigma)[inside] for sigma in _BLURS]
    fine, coarse = (np.sqrt(np.square(a - b).mean()) for a, b in itertools.pairwise(levels))
    return float(fine / max(coarse, 1e-3))


def _covered(crops: UInt8[np.ndarray, "F H W 3"], pixels: Float32[np.ndarray, "F 478 2"]) -> Float[np.ndarray, "F"]:
    """The share of the places of the face that are covered, in each frame.

    Places are the middles of the mesh's triangles, without eyes and mouth; those turned away do not count.
    """
    corners = pixels[:, TRIANGLES[_SKIN]]
    middles = corners.mean(axis=2)
    u, v = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    area = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    facing = area * np.sign(np.median(area)) > 0
    colours = np.stack([_colours(crop, places) for crop, places in zip(crops, middles, strict=True)])
    # The light on the whole face may change a little; what changes it more, or a part of it, is something else.
    overall = np.median(colours, axis=1, keepdims=True)
    colours -= np.clip(overall - np.median(overall, axis=0), -_LIGHT, _LIGHT)
    usual = np.median(colours, axis=0)
    strange = (np.abs(colours - usual).mean(axis=-1) > _COVERED) & facing
    return strange.sum(axis=1) / np.maximum(facing.sum(axis=1), 1)


def _colours(crop: UInt8[np.ndarray, "H W 3"], places: Float32[np.ndarray, "T 2"]) -> Float32[np.ndarray, "T 3"]:
    nearest: Int[np.ndarray, "T 2"] = np.clip(places.round().astype(int), 0, np.array(crop.shape[1::-1]) - 1)
    return crop[nearest[:, 1], nearest[:, 0]].astype(np.float32)
