"""The whole pictures, or the whole video, that a source's face is cropped from, and goes back into."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, UInt8

from adiff_jax.media.audio import Sound
from adiff_jax.media.crop import crop_image, crop_track, normalise, paste_back
from adiff_jax.media.errors import MediaError
from adiff_jax.media.landmarks import FaceLandmarks, LandmarkDetector, fill_missing
from adiff_jax.media.masks import region_mask
from adiff_jax.media.regions import Region
from adiff_jax.media.smoothing import smooth_landmarks
from adiff_jax.media.video import Frame, read_video

Crop = UInt8[np.ndarray, "R R 3"]
Whole = UInt8[np.ndarray, "H W 3"]

PICTURE_FPS = Fraction(25)


@dataclasses.dataclass(frozen=True)
class Footage:
    """Whole pictures with one face that is followed.

    Attributes:
        points: landmarks in [-1, 1] of the crop; one frame if it is a picture.
        boxes: the crop in each frame, see `media.crop`.
        times: of the frames, in seconds since the first.
        fps: average frames a second.
        width, height: of the whole pictures, in pixels.
        audio: the sounds that belong to it.
        frames: opens the whole pictures, from the start; a picture's without end.
    """

    points: Float32[np.ndarray, "F 478 3"]
    boxes: Float[np.ndarray, "F 3"]
    times: Float[np.ndarray, "F"]
    fps: Fraction
    width: int
    height: int
    audio: tuple[Sound, ...]
    frames: Callable[[], Iterator[Whole]]

    @property
    def is_video(self) -> bool:
        """Whether it moves."""
        return len(self.points) > 1

    def crops(self, size: int) -> Iterator[Crop]:
        """The face crops, from the start; a picture's without end."""
        boxes = self.boxes if self.is_video else itertools.repeat(self.boxes[0])
        return (crop_image(frame, box, size) for frame, box in zip(self.frames(), boxes))


def picture_footage(image: Whole, detector: LandmarkDetector, face: int | None) -> Footage:
    """A picture; see `LandmarkDetector.picture` for the errors."""
    track = detector.picture(image, face)
    boxes = crop_track(track.points)
    points = normalise(track.points, boxes).astype(np.float32)
    height, width = image.shape[:2]
    return Footage(points, boxes, np.zeros(1), PICTURE_FPS, width, height, (), frames=lambda: itertools.repeat(image))


def video_footage(
    path: Path, detector: LandmarkDetector, face: int | None, max_frames: int | None, smooth: bool
) -> tuple[Footage, FaceLandmarks]:
    """A video, of which only the landmarks are kept in memory, and its track in pixels.

    Raises:
        MediaError: the video cannot be read, or shows no face for more than half a second.
    """

    def frames() -> Iterator[Frame]:
        with read_video(path) as video:
            yield from itertools.islice(video, max_frames)

    with read_video(path) as video:
        fps, width, height, audio = video.fps, video.width, video.height, (video.sound,)
    track = fill_missing(detector.video(frames(), face))
    if smooth and len(track) > 1:
        track = dataclasses.replace(track, points=smooth_landmarks(track.points, track.times))
    boxes = crop_track(track.points)
    points = normalise(track.points, boxes).astype(np.float32)
    footage = Footage(
        points, boxes, track.times, fps, width, height, audio, lambda: (frame.image for frame in frames())
    )
    return footage, track


@dataclasses.dataclass(frozen=True)
class Canvas:
    """Where generated crops are pasted: back into the footage, blended by a soft mask.

    Attributes:
        footage: the whole pictures.
        region: the part of the face that was made anew.
        landmarks: what the crops were asked to show, in [-1, 1] of the crop.
    """

    footage: Footage
    region: Region
    landmarks: Float32[np.ndarray, "F 478 3"]

    def paste(self, crops: Iterator[Crop]) -> Iterator[Whole]:
        """The whole pictures with the crops in them, as they are taken.

        Raises:
            MediaError: the footage ends before the crops do.
        """
        wholes = self.footage.frames()
        tint = None
        for index, crop in enumerate(crops):
            if (whole := next(wholes, None)) is None:
                raise MediaError(f"the source's video ended after {index} of {len(self.landmarks)} frames")
            place = index if self.footage.is_video else 0
            tracks = (self.landmarks[index], self.footage.points[place])
            box, mask = self.footage.boxes[place], region_mask(self.region, tracks, len(crop))
            if tint is None:
                tint = self._tint(crop_image(whole, box, len(crop)), crop, mask)
            yield paste_back(whole, (crop + tint).clip(0, 255).round().astype(np.uint8), box, mask)

    def _tint(self, own: Crop, crop: Crop, mask: UInt8[np.ndarray, "R R"]) -> Float[np.ndarray, "3"]:
        """What is added to all crops of a part of the face, so that the skin around it goes on in the same colour."""
        edge = (mask > 0) & (mask < 255)
        if self.region in ("all", "pose") or not edge.any():
            return np.zeros(3)
        return own[edge].mean(axis=0) - crop[edge].mean(axis=0)

    def crop(self, whole: Whole, index: int, size: int) -> Crop:
        """The face crop of frame `index` after pasting."""
        return crop_image(whole, self.footage.boxes[index if self.footage.is_video else 0], size)
