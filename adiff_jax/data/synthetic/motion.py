"""How a face moves: pose and expression over time, drawn at random or taken from the landmarks of a real clip.

    FaceShape ──► neutral_shape [478, 3] ┐
    seed ──► sample_motion ──────────────┼──► project ──► vertices [F, 478, 3] in the picture
    points ──► motion_from_landmarks ────┘

The camera is a weak perspective one, which is what MediaPipe's landmarks follow: in real clips a similarity explains
the stable points to 0.3 to 0.9 mm on the mean, and depth is on the scale of x and y.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from adiff_jax.data.synthetic import mesh
from adiff_jax.data.synthetic.performance import holds, sample_head, sample_scores, smooth_noise
from adiff_jax.data.synthetic.shape import EXPRESSION, MEAN_FACE
from adiff_jax.media.motion import decompose, estimate_neutral

NECK = np.array([0.0, 3.0, 2.5])
"""The point in the frame of `mesh`, cm, about which a head turns."""

_DIRECTIONS = np.concatenate([EXPRESSION["basis"], EXPRESSION["modes"]]).astype(np.float32).reshape(-1, 478 * 3)
"""What the 52 blendshapes and then the modes do to the face, one row each."""


@dataclasses.dataclass(frozen=True)
class Motion:
    """The motion of a head over `F` frames, apart from who it is.

    Attributes:
        expression: offsets of the neutral face, cm, in the frame of `mesh`; those of the lids are for eyes as open as
            the mean face's, see `express`.
        rotation: of the head, about the origin of `mesh`, in its frame.
        translation: of the head in the picture, cm (x right, y down).
        scale: of the head in the picture; 1 is the camera's.
    """

    expression: Float[np.ndarray, "F 478 3"]
    rotation: Float[np.ndarray, "F 3 3"]
    translation: Float[np.ndarray, "F 2"]
    scale: Float[np.ndarray, "F"]

    def __len__(self) -> int:
        return len(self.scale)

    def __getitem__(self, frames: slice | np.ndarray) -> "Motion":
        """The motion at some of the frames."""
        return Motion(self.expression[frames], self.rotation[frames], self.translation[frames], self.scale[frames])


@dataclasses.dataclass(frozen=True)
class Camera:
    """A weak perspective camera; the default frames a moving head as `media.crop.crop_track` would, on the mean.

    Attributes:
        scale: half the picture's side (the unit of picture coordinates) per cm.
        centre: where the origin of `mesh` comes to lie, in picture coordinates.
    """

    scale: float = 0.0655
    centre: tuple[float, float] = (0.0, 0.09)


def rotation_matrix(angles: Float[np.ndarray, "F 3"]) -> Float[np.ndarray, "F 3 3"]:
    """Rotations in the frame of `mesh` from yaw, pitch and roll in degrees, which are those of `evals.pose`.

    Positive yaw turns the face to the picture's right, positive pitch looks down, positive roll turns the picture
    anticlockwise: Ry(yaw) Rx(pitch) Rz(roll) with y up and z towards the camera.
    """
    (cy, cp, cr), (sy, sp, sr) = np.cos(np.radians(angles)).T, np.sin(np.radians(angles)).T
    rows = [
        [cy * cr + sy * sp * sr, cy * sr - sy * sp * cr, -sy * cp],
        [-cp * sr, cp * cr, -sp],
        [sy * cr - cy * sp * sr, sy * sr + cy * sp * cr, cy * cp],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def express(
    shape: Float[np.ndarray, "478 3"], expression: Float[np.ndarray, "F 478 3"]
) -> Float[np.ndarray, "F 478 3"]:
    """The faces of a person (`neutral_shape`) with the offsets of an expression, cm, before they are turned.

    Lids move in proportion to how far open the person's eyes are, so that a blink shuts every eye; where lids or lips
    would pass through each other they meet in the middle.
    """
    faces = shape + _scale_lids(expression, eye_openings(shape) / eye_openings(MEAN_FACE))
    for upper, lower in (*mesh.LID_PAIRS, (mesh.UPPER_LIP_INNER[1:-1], mesh.LOWER_LIP_INNER[1:-1])):
        top, bottom = faces[:, upper], faces[:, lower]
        crossed = top[..., 1:2] > bottom[..., 1:2]
        middle = (top + bottom) / 2
        faces[:, upper], faces[:, lower] = np.where(crossed, middle, top), np.where(crossed, middle, bottom)
    return faces


def eye_openings(faces: Float[np.ndarray, "*F 478 3"]) -> Float[np.ndarray, "*F 2"]:
    """The mean height of the opening of the right and of the left eye, cm."""
    gaps = [faces[..., lower, 1] - faces[..., upper, 1] for upper, lower in mesh.LID_PAIRS]
    return np.stack([gap.mean(axis=-1) for gap in gaps], axis=-1)


def _scale_lids(expression: Float[np.ndarray, "F 478 3"], factors: Float[np.ndarray, "2"]) -> np.ndarray:
    expression = expression.copy()
    for (upper, lower), factor in zip(mesh.LID_PAIRS, factors, strict=True):
        expression[:, upper + lower] *= factor
    return expression


def project(
    shape: Float[np.ndarray, "478 3"], motion: Motion, camera: Camera = Camera()
) -> Float[np.ndarray, "F 478 3"]:
    """The landmarks of a person in motion in the picture.

    Args:
        shape: the person's `neutral_shape`.
        motion: what the head does.
        camera: how the picture is framed.

    Returns:
        x and y in [-1, 1] inside the picture (x right, y down), z away from the camera on the same scale.
    """
    turned = express(shape, motion.expression) @ np.swapaxes(motion.rotation, 1, 2).astype(np.float32)
    turned[..., :2] += motion.translation[:, None]
    vertices = camera.scale * motion.scale[:, None, None] * turned
    vertices[..., :2] += camera.centre
    return vertices.astype(np.float32)


def still(num_frames: int = 1) -> Motion:
    """A head that looks straight ahead, without motion or expression."""
    return Motion(
        expression=np.zeros((num_frames, mesh.NUM_LANDMARKS, 3), np.float32),
        rotation=np.tile(np.eye(3), (num_frames, 1, 1)),
        translation=np.zeros((num_frames, 2)),
        scale=np.ones(num_frames),
    )


def sample_motion(seed: int | np.random.Generator, num_frames: int, fps: float = 25.0) -> Motion:
    """Draws the motion of a person who talks, looks around and makes faces.

    Equal seeds (or generators in equal states) give equal motions. See `performance` for what happens.
    """
    rng = np.random.default_rng(seed)
    seconds = np.arange(num_frames) / fps
    head = sample_head(rng, seconds, fps)
    scores = sample_scores(rng, seconds, fps, head)
    rest = smooth_noise(rng, num_frames, fps, EXPRESSION["mode_correlation_time"]) * rng.uniform(0.3, 1.2)
    weights = np.concatenate([scores, rest], axis=1).astype(np.float32)
    # Not by BLAS: beside a training on the same cores its threads wait for one another ten times as long as this takes.
    expression = np.einsum("fp,pk->fk", weights, _DIRECTIONS)
    rotation = rotation_matrix(head)
    wander = holds(rng, seconds, 1.5, 0.7, lambda n: rng.standard_normal((n, 2)) * (0.8, 0.5))
    wander += rng.standard_normal(2) * (0.6, 0.4)
    nearness = rng.standard_normal() * 0.04 + 0.015 * smooth_noise(rng, num_frames, fps, np.array([0.8]))[:, 0]
    return Motion(
        expression=expression.reshape(num_frames, mesh.NUM_LANDMARKS, 3),
        rotation=rotation,
        translation=(NECK - rotation @ NECK)[:, :2] + wander,
        scale=np.exp(nearness),
    )


def motion_from_landmarks(
    points: Float[np.ndarray, "F 478 3"],
    blendshapes: Float[np.ndarray, "F 52"] | None = None,
    neutral: Float[np.ndarray, "478 3"] | None = None,
    camera: Camera | None = None,
) -> Motion:
    """The motion of the face in a landmark track.

    Args:
        points: landmarks in pixels or in picture coordinates: x right, y down, z away from the camera, one scale.
        blendshapes: their scores, from which the face at rest is found; without them the median face counts as at rest.
        neutral: that person's `neutral_shape`, if it is known; it is not estimated then.
        camera: the camera that took `points`; None takes one for which the head has the scale 1 and no translation in
            the median frame, so that `project` shows it as the default camera frames heads.

    Raises:
        ValueError: `points` has another shape or values that are not finite.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 3 or points.shape[1:] != (mesh.NUM_LANDMARKS, 3) or not len(points):
        raise ValueError(f"landmarks must have the shape [F, 478, 3] with F >= 1, not {list(points.shape)}")
    if not np.isfinite(points).all():
        raise ValueError("landmarks must be finite: leave out or fill the frames without a face")
    if neutral is None:
        neutral = MEAN_FACE + decompose(estimate_neutral(points, blendshapes)[None], MEAN_FACE).expression[0]
    pose = decompose(points, neutral)
    openings = np.maximum(eye_openings(neutral), 0.3)
    expression = _scale_lids(pose.expression, eye_openings(MEAN_FACE) / openings)
    if camera is None:
        scale, centre = np.median(pose.scale), np.median(pose.translation[:, :2], axis=0)
    else:
        scale, centre = camera.scale, np.array(camera.centre)
    return Motion(
        expression=expression.astype(np.float32),
        rotation=pose.rotation,
        translation=(pose.translation[:, :2] - centre) / pose.scale[:, None],
        scale=pose.scale / scale,
    )
