"""What a generated file says of itself: how it came to be, in words and as data, and a label in its picture."""

import dataclasses
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from adiff_jax import __version__
from adiff_jax.app.consent import Consent

LABEL = "AI-generated"
SOFTWARE = "adiff_jax"


@dataclasses.dataclass(frozen=True)
class Ingredient:
    """Something that a file was made from.

    Attributes:
        role: what it was used as: "source", "driver", "text".
        name: where it comes from, without folders; or the text itself.
        sha256: of the file, in hexadecimal; None for what is no file.
        consent: of the person in it.
    """

    role: str
    name: str
    sha256: str | None = None
    consent: Consent | None = None


@dataclasses.dataclass(frozen=True)
class Claim:
    """How a file came to be.

    Attributes:
        action: what was done, as a participle: "reenacted".
        bundle: name of the bundle that made it.
        inputs: what it was made from.
        digests: SHA-256 of the bundle and of its models, by name.
        composite: whether parts of the picture are a camera's or a painter's, and only the rest is generated.
    """

    action: str
    bundle: str
    inputs: tuple[Ingredient, ...]
    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    composite: bool = False

    def sentence(self) -> str:
        """The claim in words, for a file's comment field."""
        inputs = ", ".join(f"{ingredient.role} {ingredient.name}" for ingredient in self.inputs)
        return f"{LABEL} video: {self.action} by {SOFTWARE} {__version__} with the bundle {self.bundle} from {inputs}"

    def record(self) -> dict[str, Any]:
        """The claim as JSON data."""
        return {
            "software": {"name": SOFTWARE, "version": __version__},
            "action": self.action,
            "bundle": {"name": self.bundle, "sha256": self.digests},
            "inputs": [
                {key: value for key, value in dataclasses.asdict(ingredient).items() if value is not None}
                for ingredient in self.inputs
            ],
        }


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
