"""What MediaPipe sees in a square video, in the units in which landmarks are requested."""

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from adiff_jax.media.errors import NoFaceError
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.media.video import Frame

MEASURED_SIZE = 256


@dataclasses.dataclass(frozen=True)
class Observation:
    """The face in each frame of a square video.

    Attributes:
        points: landmarks, x right and y down in [-1, 1] inside the picture, z on the same scale.
        blendshapes: expression scores in [0, 1].
        pose: MediaPipe's 4x4 matrix from canonical-face to camera space.
        found: where False the other arrays hold zeros.
    """

    points: Float32[np.ndarray, "F 478 3"]
    blendshapes: Float32[np.ndarray, "F 52"]
    pose: Float32[np.ndarray, "F 4 4"]
    found: Bool[np.ndarray, "F"]

    def __getitem__(self, frames) -> "Observation":
        """The same of some frames, in that order."""
        return Observation(*(getattr(self, field.name)[frames] for field in dataclasses.fields(self)))


def observe(frames: UInt8[np.ndarray, "F R R 3"], fps: float, detector: LandmarkDetector) -> Observation:
    """Runs the detector over a square video; frames smaller than `MEASURED_SIZE` are enlarged to it first (bicubic).

    A video without any face is an observation too: nothing found.
    """
    side = max(frames.shape[1], MEASURED_SIZE)
    try:
        track = detector.video(_enlarged(frames, fps, side))
    except NoFaceError:
        count = len(frames)
        return Observation(
            points=np.zeros((count, 478, 3), np.float32),
            blendshapes=np.zeros((count, 52), np.float32),
            pose=np.zeros((count, 4, 4), np.float32),
            found=np.zeros(count, bool),
        )
    points = track.points * np.float32(2 / side)
    points[..., :2] -= 1
    points[~track.found] = 0
    return Observation(points, track.blendshapes, track.pose, track.found)


def _enlarged(frames: UInt8[np.ndarray, "F R R 3"], fps: float, side: int) -> Iterator[Frame]:
    for index, image in enumerate(frames):
        if image.shape[0] != side:
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
        yield Frame(image, index / fps)
