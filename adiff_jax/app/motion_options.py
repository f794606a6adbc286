"""The options of motion: whose it is, from where it starts, and where the result is put.

Imports nothing heavy, so that `adiff --help` is quick.
"""

import dataclasses
from typing import get_args

from adiff_jax.media.regions import Region, Start


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionOptions:
    """Which motion the source gets.

    Attributes:
        region: what the driver moves: all; the expression; the head's pose; the lips or the eyes alone. The rest keeps
            the source's own motion, if the source is a video.
        motion: relative starts from the source's own pose and changes it as the driver's changes from its rest;
            absolute takes the driver's pose as it is.
        motion_strength: factor of how far pose and expression go from their rest.
        paste_back: put the face back into the whole picture or video of the source, with a soft mask.
    """

    region: Region = "all"
    motion: Start = "relative"
    motion_strength: float = 1.0
    paste_back: bool = False

    def __post_init__(self) -> None:
        for name, allowed in {"region": Region, "motion": Start}.items():
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(
                    f"unknown {name} {getattr(self, name)!r}: choose one of {', '.join(get_args(allowed))}"
                )
        if not 0 <= self.motion_strength <= 3:
            raise ValueError(f"motion_strength must be within 0 and 3, not {self.motion_strength}")
        if hasattr(super(), "__post_init__"):  # of other options that a command has
            super().__post_init__()
