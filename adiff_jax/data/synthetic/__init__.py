"""Synthetic talking heads on MediaPipe's canonical face mesh, with their true 478 landmarks."""

from adiff_jax.data.synthetic.clips import SyntheticClip, clip_landmarks, render_clip
from adiff_jax.data.synthetic.motion import Motion, motion_from_landmarks, project, sample_motion, still
from adiff_jax.data.synthetic.people import Person, sample_person
from adiff_jax.data.synthetic.render import region_masks, render_frame
from adiff_jax.data.synthetic.shape import FaceShape, neutral_shape

__all__ = [
    "FaceShape",
    "Motion",
    "Person",
    "SyntheticClip",
    "clip_landmarks",
    "motion_from_landmarks",
    "neutral_shape",
    "project",
    "region_masks",
    "render_clip",
    "render_frame",
    "sample_motion",
    "sample_person",
    "still",
]
