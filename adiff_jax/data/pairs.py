"""From a clip to two face chips of the same person, for training identity networks."""

import dataclasses

import cv2
import grain
import numpy as np
from jaxtyping import Float

from adiff_jax.data.schema import ClipRecord
from adiff_jax.data.transforms import ColourJitter, Example, Keep, Transforms
from adiff_jax.media.chips import face_chip


@dataclasses.dataclass(frozen=True)
class PickPair(grain.transforms.RandomMap):
    """Face chips of two different frames of a clip, each changed a little in its own way.

    ClipRecord -> {pair: uint8 [2, size, size, 3]}

    Attributes:
        size: side of a chip in pixels.
        padding: see `face_chip`.
        degrees: largest turn to either side.
        scale: largest change of size, as a factor's distance from 1.
        shift: largest shift along each axis, in half widths of the chip.
        colour: see `ColourJitter`.
        blur: largest deviation of a Gaussian blur, in shares of the chip's side.
    """

    size: int
    padding: float
    degrees: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    colour: float = 0.0
    blur: float = 0.0

    def random_map(self, element: ClipRecord, rng: np.random.Generator) -> Example:
        """Draws two frames and what is changed in each."""
        frames = rng.choice(len(element), size=2, replace=len(element) < 2)
        pictures = element.frames[frames]
        return {"pair": np.stack([self._chip(*of, rng) for of in zip(pictures, element.landmarks[frames])])}

    def _chip(self, picture, points, rng):
        chip = face_chip(picture, points, self.size, self.padding, self._jitter(rng))
        deviation = rng.uniform(0, self.blur) * self.size
        if deviation > 0.2:  # less than that is nothing
            chip = cv2.GaussianBlur(chip, (0, 0), deviation)
        return ColourJitter(self.colour).random_map({"image": chip}, rng)["image"]

    def _jitter(self, rng: np.random.Generator) -> Float[np.ndarray, "2 3"]:
        angle = np.deg2rad(rng.uniform(-self.degrees, self.degrees))
        factor = np.exp(rng.uniform(-1, 1) * np.log1p(self.scale))
        turn = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.column_stack([turn, rng.uniform(-self.shift, self.shift, size=2)])


def identity_transforms(size: int, padding: float, *, augment: bool = True) -> Transforms:
    """Two chips of a person: {pair: float32 [2, size, size, 3] in [-1, 1]}.

    What is changed is what a generated video may get wrong without being another person: where the face is by a few
    pixels, brightness, and sharpness.
    """
    changes = {"degrees": 4.0, "scale": 0.06, "shift": 0.05, "colour": 0.06, "blur": 0.02} if augment else {}
    return (PickPair(size, padding, **changes), Keep(("pair",)))
