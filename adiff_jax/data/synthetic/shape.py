"""Identity: the neutral face of a synthetic person, by hand-made modes on the pooled mean face.

Every mode is a smooth displacement of the mean face, named for what it changes, and symmetric but for the last two. The
mean is that of `expression.safetensors` (see `fit.py`): eyes open, mouth closed, no expression.
"""

import dataclasses
from importlib.resources import files

import numpy as np
import safetensors.numpy
from jaxtyping import Float

from adiff_jax.data.synthetic import mesh

EXPRESSION = safetensors.numpy.load(files(__package__).joinpath("expression.safetensors").read_bytes())
"""The pooled statistics of expression: see `fit.py` for names and shapes."""

MEAN_FACE: Float[np.ndarray, "478 3"] = EXPRESSION["mean_face"]
"""The mean neutral face, in the frame of `mesh`, cm."""


@dataclasses.dataclass(frozen=True)
class FaceShape:
    """How a face differs from the mean face, each in standard deviations: 0 is average, +-2.5 the most there is."""

    face_width: float = 0.0
    face_length: float = 0.0
    jaw_width: float = 0.0
    jaw_angle: float = 0.0
    chin_length: float = 0.0
    chin_width: float = 0.0
    chin_protrusion: float = 0.0
    cheekbones: float = 0.0
    cheek_fullness: float = 0.0
    forehead_height: float = 0.0
    forehead_width: float = 0.0
    brow_height: float = 0.0
    brow_arch: float = 0.0
    brow_ridge: float = 0.0
    eye_opening: float = 0.0
    eye_width: float = 0.0
    eye_spacing: float = 0.0
    eye_tilt: float = 0.0
    eye_depth: float = 0.0
    nose_length: float = 0.0
    nose_width: float = 0.0
    nose_bridge: float = 0.0
    nose_tip: float = 0.0
    nose_protrusion: float = 0.0
    mouth_width: float = 0.0
    mouth_height: float = 0.0
    upper_lip: float = 0.0
    lower_lip: float = 0.0
    lip_protrusion: float = 0.0
    jaw_asymmetry: float = 0.0
    eye_asymmetry: float = 0.0

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "FaceShape":
        """Draws a person: independent standard normal values, cut at +-2.5."""
        values = np.clip(rng.standard_normal(len(dataclasses.fields(cls))), -2.5, 2.5)
        return cls(*(float(value) for value in values))


def neutral_shape(shape: FaceShape) -> Float[np.ndarray, "478 3"]:
    """The person's face without expression, in the frame of `mesh`, cm."""
    return (MEAN_FACE + np.tensordot(dataclasses.astuple(shape), _MODES, 1)).astype(np.float32)


def _bump(points: list[int], radius: float) -> Float[np.ndarray, "478 1"]:
    """A weight of 1 at the given points of the mean face, falling off as a Gaussian of this radius (cm)."""
    squared = ((MEAN_FACE[:, None] - MEAN_FACE[points]) ** 2).sum(axis=-1).min(axis=1, keepdims=True)
    return np.exp(-squared / (2 * radius**2))


def _ramp(
    values: Float[np.ndarray, "478"], start: float | np.floating, stop: float | np.floating
) -> Float[np.ndarray, "478 1"]:
    """A smooth step from 0 where `values` is `start` to 1 where it is `stop`."""
    t = np.clip((values - start) / (stop - start), 0, 1)[:, None]
    return t * t * (3 - 2 * t)


def _modes() -> Float[np.ndarray, "P 478 3"]:
    """The displacement in cm of one standard deviation of each field of `FaceShape`, in order."""
    x, y, _ = MEAN_FACE.T
    side = np.sign(x)[:, None] * _ramp(np.abs(x), 0, 1)  # -1 and 1 on the person's right and left, 0 in the middle
    right, down, back = np.eye(3)
    eyes_y, nose_y = MEAN_FACE[[33, 263], 1].mean(), MEAN_FACE[mesh.NOSE_TIP, 1]
    mouth_y = MEAN_FACE[[13, 14], 1].mean()
    below_nose = _ramp(y, nose_y, MEAN_FACE[mesh.CHIN, 1])
    lower = _ramp(y, nose_y, mouth_y + 1)
    above_eyes = _ramp(-y, -eyes_y + 0.5, -MEAN_FACE[mesh.FOREHEAD, 1])
    outer = _ramp(np.abs(x), 2, 6)

    eye_points = [*mesh.RIGHT_EYE, *mesh.LEFT_EYE, *mesh.RIGHT_IRIS, *mesh.LEFT_IRIS]
    eyes = _bump(eye_points, 0.9)
    eye_middle = np.where((x < 0)[:, None], MEAN_FACE[468], MEAN_FACE[473])
    from_eye = (MEAN_FACE - eye_middle) * np.abs(side)
    irises = np.ones((mesh.NUM_LANDMARKS, 1))
    irises[mesh.NUM_SURFACE :] = 0
    brows = _bump([*mesh.RIGHT_BROW, *mesh.LEFT_BROW], 1.0)
    arch = _bump([105, 52, 334, 282], 0.8)
    brow_ends = _bump([107, 55, 336, 285, 46, 276], 0.8)
    nose = _bump([*mesh.NOSE], 0.9) * (1 - eyes)
    wings = _bump([48, 64, 278, 294, 98, 327], 0.8)
    tip = _bump([1, 4, 19], 0.9)
    bridge = _bump([6, 197, 195], 0.9) * (1 - eyes)
    lips = _bump([*mesh.LIPS_OUTER, *mesh.LIPS_INNER], 0.8)
    outer_upper, outer_lower = _bump([37, 0, 267, 39, 269], 0.5), _bump([84, 17, 314, 181, 405], 0.5)
    inner = _bump([*mesh.LIPS_INNER], 0.15)
    cheekbones = _bump([116, 117, 345, 346, 123, 352], 1.3) * (1 - eyes)
    cheeks = _bump([205, 425, 187, 411, 192, 416], 1.5) * (1 - lips)
    chin = _bump([152, 175, 199, 200], 1.6)
    jaw_corners = _bump([172, 397, 58, 288], 1.8)

    fields = {
        "face_width": 0.028 * x[:, None] * right * (1 - 0.7 * eyes) + 0.14 * outer * side * right,
        "face_length": 0.035 * (y - eyes_y)[:, None] * down,
        "jaw_width": 0.25 * below_nose * outer * side * right + 0.15 * jaw_corners * side * right,
        "jaw_angle": 0.3 * jaw_corners * down,
        "chin_length": 0.33 * below_nose**2 * down,
        "chin_width": 0.3 * _bump([148, 377, 176, 400, 149, 378], 1.2) * side * right,
        "chin_protrusion": -0.4 * chin * back,
        "cheekbones": cheekbones * (0.25 * side * right - 0.15 * back),
        "cheek_fullness": cheeks * (0.3 * side * right - 0.25 * back),
        "forehead_height": -0.4 * above_eyes * down,
        "forehead_width": 0.35 * above_eyes * _ramp(np.abs(x), 1, 5) * side * right,
        "brow_height": -0.22 * brows * (1 - eyes) * down,
        "brow_arch": 0.1 * (brow_ends - arch) * (1 - eyes) * down,
        "brow_ridge": -0.2 * brows * (1 - eyes) * back,
        "eye_opening": 0.1 * eyes * irises * from_eye * down,
        "eye_width": 0.06 * eyes * irises * from_eye * right,
        "eye_spacing": 0.17 * _bump(eye_points, 1.3) * side * right,
        "eye_tilt": -0.06 * eyes * irises * (from_eye[:, :1] * side) * down,
        "eye_depth": 0.18 * _bump(eye_points, 1.1) * back,
        "nose_length": 0.35 * _bump([1, 2, 4, 19, 94, 98, 327, 64, 294], 1.1) * down,
        "nose_width": 0.22 * wings * side * right + 0.08 * nose * side * right,
        "nose_bridge": -0.25 * bridge * back,
        "nose_tip": -0.25 * tip * down,
        "nose_protrusion": -0.35 * _bump([1, 4, 5, 19, 45, 275], 1.0) * back,
        "mouth_width": 0.08 * lips * x[:, None] * right,
        "mouth_height": 0.25 * _bump([*mesh.LIPS_OUTER, *mesh.LIPS_INNER], 1.2) * down,
        "upper_lip": (1 - inner) * outer_upper * (-0.14 * down - 0.08 * back),
        "lower_lip": (1 - inner) * outer_lower * (0.17 * down - 0.08 * back),
        "lip_protrusion": -0.18 * lips * back,
        "jaw_asymmetry": 0.15 * lower * right,
        "eye_asymmetry": 0.035 * np.sign(x)[:, None] * (eyes + brows * (1 - eyes)) * down,
    }
    modes = np.stack([fields[field.name] for field in dataclasses.fields(FaceShape)])
    for iris in (mesh.RIGHT_IRIS, mesh.LEFT_IRIS):  # irises move as a whole
        modes[:, iris] = modes[:, iris[:1]]
    return modes


_MODES = _modes()
