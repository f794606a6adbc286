"""Synthetic clips: who, how they move, what is seen, and what is known about it.

Identity and motion have seeds of their own, so one person can be drawn in many motions and one motion on many people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from adiff_jax.data.synthetic.motion import project, sample_motion
from adiff_jax.data.synthetic.people import Person, sample_person
from adiff_jax.data.synthetic.render import render_frame
from adiff_jax.data.synthetic.shape import neutral_shape


@dataclass(frozen=True)
class SyntheticClip:
    """A rendered clip with its ground truth.

    Attributes:
        frames: sRGB pictures.
        landmarks: the true landmarks, x right and y down in [-1, 1] of the picture, z on the same scale.
        times: seconds from the start of the clip.
        person: who is seen; `person.caption()` and `person.attributes()` say it in words and colours.
        identity, motion: the seeds.
    """

    frames: UInt8[np.ndarray, "F H W 3"]
    landmarks: Float32[np.ndarray, "F 478 3"]
    times: Float32[np.ndarray, "F"]
    person: Person
    identity: int
    motion: int


def clip_landmarks(
    identity: int, motion: int | None = None, num_frames: int = 64, fps: float = 25.0
) -> Float32[np.ndarray, "F 478 3"]:
    """The landmarks of a clip, without drawing it: much faster."""
    shape = neutral_shape(sample_person(identity).shape)
    return project(shape, sample_motion(identity if motion is None else motion, num_frames, fps))


def render_clip(
    identity: int,
    motion: int | None = None,
    num_frames: int = 64,
    size: int = 128,
    fps: float = 25.0,
    frames: Sequence[int] | None = None,
) -> SyntheticClip:
    """Renders a clip, or some frames of it.

    Args:
        identity: seed of the person.
        motion: seed of the motion; None takes `identity`.
        num_frames: length of the clip.
        size: width and height of the pictures in pixels.
        fps: frames per second.
        frames: the frames to render, any order; None renders all. A frame looks the same whichever others are rendered.

    Raises:
        ValueError: if `num_frames` or `fps` is not positive, or a frame lies outside the clip.
    """
    if num_frames < 1 or fps <= 0:
        raise ValueError(f"a clip needs num_frames >= 1 and fps > 0, got {num_frames} and {fps}")
    chosen = np.arange(num_frames) if frames is None else np.asarray(frames, int)
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= num_frames):
        raise ValueError(f"frames must lie in [0, {num_frames}), got {chosen.min()} to {chosen.max()}")
    motion = identity if motion is None else motion
    person = sample_person(identity)
    landmarks = clip_landmarks(identity, motion, num_frames, fps)[chosen]
    pictures = np.empty((len(chosen), size, size, 3), np.uint8)
    for picture, vertices in zip(pictures, landmarks):
        picture[:] = render_frame(person, vertices, size)
    return SyntheticClip(pictures, landmarks, (chosen / fps).astype(np.float32), person, identity, motion)
