"""APD, average pose distance: here Euler angles of MediaPipe's facial transformation matrix."""

import numpy as np
from jaxtyping import Bool, Float

APD = (
    "average pose distance: mean absolute difference in degrees of yaw, pitch and roll (from MediaPipe's 4x4 facial "
    "transformation) between the video and the driving clip, over the frames where both have a face"
)
APD_MOTION = (
    "APD after each video's own mean pose is taken off: what is left is motion, without the constant angle by which "
    "MediaPipe sees two still faces of different shape differ"
)
FROZEN_APD = "APD that a head frozen at the driving clip's mean pose would get"


def euler_angles(matrices: Float[np.ndarray, "*F M M"]) -> Float[np.ndarray, "*F 3"]:
    """Yaw, pitch, roll in degrees of R = Ry(yaw) Rx(pitch) Rz(roll), from 3x3 or 4x4 matrices of any scale.

    Pitch is in [-90, 90]; at its ends yaw and roll are not unique.
    """
    rotation = matrices[..., :3, :3] / np.linalg.norm(matrices[..., :3, :3], axis=-2, keepdims=True)
    yaw = np.arctan2(rotation[..., 0, 2], rotation[..., 2, 2])
    pitch = np.arcsin(np.clip(-rotation[..., 1, 2], -1.0, 1.0))
    roll = np.arctan2(rotation[..., 1, 0], rotation[..., 1, 1])
    return np.degrees(np.stack([yaw, pitch, roll], axis=-1))


def angle_difference(a: Float[np.ndarray, "*F"], b: Float[np.ndarray, "*#F"]) -> Float[np.ndarray, "*F"]:
    """`a - b` in degrees, the short way round: in [-180, 180)."""
    return (a - b + 180.0) % 360.0 - 180.0


def mean_angle(angles: Float[np.ndarray, "F 3"]) -> Float[np.ndarray, "3"]:
    """The circular mean over frames, in degrees."""
    radians = np.radians(angles)
    return np.degrees(np.arctan2(np.sin(radians).mean(axis=0), np.cos(radians).mean(axis=0)))


def pose_distance(
    pose: Float[np.ndarray, "F 4 4"], driver: Float[np.ndarray, "F 4 4"], found: Bool[np.ndarray, "F"]
) -> float:
    """See `APD`; degrees, 0 is best, NaN when no frame counts."""
    if not found.any():
        return float("nan")
    return float(np.abs(angle_difference(euler_angles(pose[found]), euler_angles(driver[found]))).mean())


def pose_motion_distance(
    pose: Float[np.ndarray, "F 4 4"], driver: Float[np.ndarray, "F 4 4"], found: Bool[np.ndarray, "F"]
) -> float:
    """See `APD_MOTION`; degrees, 0 is best, NaN when no frame counts."""
    if not found.any():
        return float("nan")
    moved, wanted = (_about_mean(euler_angles(matrices[found])) for matrices in (pose, driver))
    return float(np.abs(angle_difference(moved, wanted)).mean())


def frozen_pose_distance(driver: Float[np.ndarray, "F 4 4"], found: Bool[np.ndarray, "F"]) -> float:
    """See `FROZEN_APD`; degrees, NaN when no frame counts."""
    if not found.any():
        return float("nan")
    return float(np.abs(_about_mean(euler_angles(driver[found]))).mean())


def _about_mean(angles: Float[np.ndarray, "F 3"]) -> Float[np.ndarray, "F 3"]:
    return angle_difference(angles, mean_angle(angles))
