"""From a source and a driver to what the frames are to show: whose motion, on whose clock, put back where."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from adiff_jax.app.footage import Canvas
from adiff_jax.app.inputs import Driving, Source, retime
from adiff_jax.app.motion_options import MotionOptions
from adiff_jax.media.transfer import transfer

_OWN_LIPS = ("pose", "eyes")  # regions that leave the lips to the source


class Following(NamedTuple):
    """How a source follows a driver.

    Attributes:
        driving: the motion, on the clock of the result: the source's if that is a video, else the driver's. Its sound
            is that of whose lips are seen.
        landmarks: what the frames are to show, in [-1, 1] of the crop.
        canvas: where they are put back; None if they are not.
    """

    driving: Driving
    landmarks: Float32[np.ndarray, "F 478 3"]
    canvas: Canvas | None


def follow_motion(source: Source, driving: Driving, options: MotionOptions) -> Following:
    """Transfers the motion.

    Raises:
        ValueError: a drawn person is to be pasted back.
    """
    footage = source.footage
    if options.paste_back and footage is None:
        raise ValueError("a drawn person has no picture around the face, so there is nothing to paste back into")
    own = source.neutral[None] if footage is None else footage.points
    if footage is not None and footage.is_video:
        driving = retime(driving, footage)
        own = own[: len(driving.points)]
        if options.region in _OWN_LIPS:
            driving = dataclasses.replace(driving, audio=footage.audio)
    landmarks = transfer(
        driving.points,
        driving.neutral,
        own,
        source.neutral,
        region=options.region,
        start=options.motion,
        strength=options.motion_strength,
    )
    canvas = Canvas(footage, options.region, landmarks) if options.paste_back and footage is not None else None
    return Following(driving, landmarks, canvas)
