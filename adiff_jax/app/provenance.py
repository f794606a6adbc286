"""What a generated video says of itself: a sentence in its file, and a label in its picture."""

import dataclasses

import cv2
import numpy as np
from jaxtyping import UInt8

from adiff_jax import __version__

LABEL = "AI-generated"


@dataclasses.dataclass(frozen=True)
class Claim:
    """How a video came to be.

    Attributes:
        action: what was done, as a participle: "reenacted".
        bundle: name of the bundle that made it.
        inputs: what it was made from, by role.
    """

    action: str
    bundle: str
    inputs: dict[str, str]

    def sentence(self) -> str:
        """The claim in words, for a file's comment field."""
        inputs = ", ".join(f"{role} {name}" for role, name in self.inputs.items())
        return f"{LABEL} video: {self.action} by adiff_jax {__version__} with the bundle {self.bundle} from {inputs}"


def stamp(frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """The frame with `LABEL` in its lower left corner: a quarter of the width, but 64 pixels where there is room."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    height, width = frame.shape[:2]
    (text_width, _), _ = cv2.getTextSize(LABEL, font, 1.0, 1)
    scale = min(width / 2, max(width / 4, 64)) / text_width
    (text_width, text_height), baseline = cv2.getTextSize(LABEL, font, scale, 1)
    margin = max(2, height // 64)
    stamped = frame.copy()
    box = (slice(height - text_height - baseline - 2 * margin, None), slice(0, text_width + 2 * margin))
    stamped[box] //= 4
    place = (margin, height - margin - baseline)
    return cv2.putText(stamped, LABEL, place, font, scale, (255, 255, 255), 1, cv2.LINE_AA)
