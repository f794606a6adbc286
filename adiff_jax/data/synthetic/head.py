"""The body around the face mesh: skull, ears, neck, torso, as meshes in the head's frame.

A `Part` is made once a person; a frame only moves it. Vertices 0-467 of every part are the landmarks themselves, so the
skull shares the face oval's vertices: no gap can open at the border, whatever the face does.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int
from numba import njit

from adiff_jax.data.synthetic import materials
from adiff_jax.data.synthetic.mesh import FACE_OVAL, NUM_SURFACE
from adiff_jax.data.synthetic.people import Person

OVAL = np.array(FACE_OVAL)
CRANIUM_CENTRE = np.array([0.0, -3.0, 2.5])  # cm, head's frame
CRANIUM_RADII = np.array([7.9, 9.7, 9.6])
NECK_TOP, NECK_BOTTOM = 4.0, 12.3  # cm, y of the neck's rings
ROWS = np.array([0.06, 0.14, 0.24, 0.36, 0.48, 0.60, 0.72, 0.84, 0.93, 1.0])  # of the skull, from face oval to back


class Part(NamedTuple):
    """A mesh that moves with head, face oval and torso.

    Attributes:
        points: at rest, cm in the head's frame, without the landmarks.
        follow: how far a point takes over the displacement of its face-oval point, in [0, 1].
        column: that point, an index into `FACE_OVAL`.
        torso: how far a point moves with the torso and not with the head, in [0, 1].
        coords, tangents: as in `raster.Surface`; tangents in the head's frame.
        triangles: indices; below 468 a landmark, from 468 on `points`.
        material: of each triangle.
    """

    points: Float32[np.ndarray, "V 3"]
    follow: Float32[np.ndarray, "V"]
    column: Int[np.ndarray, "V"]
    torso: Float32[np.ndarray, "V"]
    coords: Float32[np.ndarray, "V 4"]
    tangents: Float32[np.ndarray, "V 3"]
    triangles: Int[np.ndarray, "T 3"]
    material: Int[np.ndarray, "T"]


class Pose(NamedTuple):
    """A rigid motion into the picture: `picture = scale * rotation @ local + translation`; local in cm."""

    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    scale: float


@njit(cache=True, error_model="numpy")
def place(
    part: Part, displacement: Float[np.ndarray, "M 3"], head: Pose, torso: Pose
) -> tuple[Float32[np.ndarray, "V 3"], Float32[np.ndarray, "V 3"]]:
    """Positions and tangents of a part in the picture.

    Args:
        part: the part.
        displacement: of the points of `FACE_OVAL` from the neutral face, cm in the head's frame.
        head: where the head is.
        torso: where the torso is.
    """
    positions, tangents = np.empty_like(part.points), np.empty_like(part.tangents)
    point = np.empty(3)
    for v in range(len(positions)):
        for axis in range(3):
            point[axis] = part.points[v, axis] + part.follow[v] * displacement[part.column[v], axis]
        w = part.torso[v]
        for axis in range(3):
            a, b, tangent = head.translation[axis], torso.translation[axis], 0.0
            for k in range(3):
                a += head.scale * head.rotation[axis, k] * point[k]
                b += torso.scale * torso.rotation[axis, k] * point[k]
                tangent += head.rotation[axis, k] * part.tangents[v, k]
            positions[v, axis] = a + w * (b - a)
            tangents[v, axis] = tangent
    return positions, tangents


def part(points, triangles, material, *, coords=None, tangents=None, follow=0.0, column=0, torso=0.0) -> Part:
    """A part from arrays of any leading shape; what is left out is zero, scalars hold for all points.

    `triangles` count own points from 468 on, as in `Part`.
    """
    points = np.reshape(points, (-1, 3)).astype(np.float32)
    count = len(points)

    def each(value, width, dtype):
        shape = (count, width) if width else (count,)
        return np.broadcast_to(np.zeros(1) if value is None else np.reshape(value, (-1, *shape[1:])), shape).astype(
            dtype
        )

    return Part(
        points=points,
        follow=each(follow, 0, np.float32),
        column=each(column, 0, np.int64),
        torso=each(torso, 0, np.float32),
        coords=each(coords, 4, np.float32),
        tangents=each(tangents, 3, np.float32),
        triangles=np.reshape(triangles, (-1, 3)).astype(np.int64),
        material=np.full(len(triangles), material, np.int64),
    )


def join(parts: list[Part]) -> Part:
    """One part of all, their triangles renumbered."""
    offsets = np.cumsum([0] + [len(p.points) for p in parts[:-1]])
    triangles = [np.where(p.triangles < NUM_SURFACE, p.triangles, p.triangles + o) for p, o in zip(parts, offsets)]
    fields = {name: np.concatenate([getattr(p, name) for p in parts]) for name in Part._fields}
    return Part(**{**fields, "triangles": np.concatenate(triangles)})


def grid(rows: int, columns: int, closed: bool = False) -> Int[np.ndarray, "T 3"]:
    """Triangles over a grid of own points in row-major order, clockwise where rows run down and columns to the right.

    Args:
        rows: of points.
        columns: of points.
        closed: the last column meets the first.
    """
    across = columns if closed else columns - 1
    r, c = np.mgrid[: rows - 1, :across]
    right = (c + 1) % columns
    a, b = r * columns + c, r * columns + right
    quads = np.stack([a, b, b + columns, a, b + columns, a + columns], axis=-1)
    return NUM_SURFACE + quads.reshape(-1, 3)


def cranium(person: Person) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Centre and half axes, cm, of the ellipsoid that the skull runs into."""
    return CRANIUM_CENTRE, CRANIUM_RADII * np.array([1.0, person.head_height, person.head_depth])


def skull_points(
    person: Person, oval: Float[np.ndarray, "M 3"], rows: Float[np.ndarray, "R"]
) -> Float[np.ndarray, "R M 3"]:
    """The skull along great circles of the cranium, from points of the face oval (0) to the back of the head (1)."""
    centre, radii = cranium(person)
    start = (oval - centre) / radii
    length = np.linalg.norm(start, axis=-1, keepdims=True)
    start = start / length
    pole = np.array([0, 0.12, 1.0]) / np.hypot(0.12, 1.0)
    angle = np.arccos(np.clip(start @ pole, -1, 1))[None, :, None]
    t = rows[:, None, None]
    along = (np.sin((1 - t) * angle) * start + np.sin(t * angle) * pole) / np.sin(angle)
    # Above the eyes the oval runs smoothly into the cranium; the underside of the jaw draws in at once.
    jaw = np.clip((start[:, 1:2] - 0.1) / 0.5, 0, 1)
    radius = 1 + (length - 1) * ((1 - t) ** 2 * (1 - jaw) + (1 - t) ** 4.5 * jaw)
    return centre + along * radius * radii


def skull(person: Person, neutral: Float[np.ndarray, "478 3"]) -> Part:
    """Scalp, temples, underside of the jaw and back of the head."""
    count = len(OVAL)
    points = skull_points(person, neutral[OVAL], ROWS)
    triangles = grid(len(ROWS) + 1, count, closed=True)
    landmarks = triangles < NUM_SURFACE + count
    triangles = np.where(landmarks, OVAL[(triangles - NUM_SURFACE) % count], triangles - count)
    under = np.clip((points[..., 1] - 4) / 4, 0, 1)
    coords = np.zeros((*points.shape[:2], 4))
    coords[..., 3] = 1 - 0.62 * under
    follow = np.broadcast_to(np.clip(1 - ROWS / 0.5, 0, 1)[:, None] ** 2, points.shape[:2])
    column = np.broadcast_to(np.arange(count), points.shape[:2])
    return part(points, triangles[:, ::-1], materials.SKIN, coords=coords, follow=follow, column=column)


def ears(person: Person, neutral: Float[np.ndarray, "478 3"]) -> Part:
    """Two shallow shells: a raised rim around a hollow."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rings = np.array([0.0, 0.35, 0.62, 0.82, 0.95, 1.0, 0.9])
    relief = np.array([-0.15, -0.22, -0.05, 0.38, 0.42, 0.1, -0.5])
    openness = np.array([0.55, 0.55, 0.75, 1.0, 1.05, 1.0, 0.6])
    both = []
    for side, temple in ((-1, 234), (1, 454)):
        r = rings[:, None]
        back = 1.55 * r * np.sin(angles) * (1 - 0.22 * np.cos(angles + np.pi))
        down = -2.75 * r * np.cos(angles)
        anchor = neutral[temple] + np.array([side * 0.05, 0.15, 2.0])
        out = 0.25 + relief[:, None] * (0.75 + 0.35 * np.sin(angles)) + 0.42 * back
        points = np.stack([anchor[0] + side * out, anchor[1] + down, anchor[2] + back + 0.25 * -down], axis=-1)
        coords = np.zeros((*points.shape[:2], 4))
        coords[..., 3] = openness[:, None]
        triangles = grid(len(rings), len(angles), closed=True)
        both.append(part(points, triangles[:, ::-1] if side > 0 else triangles, materials.SKIN, coords=coords))
    return join(both)


def neck(person: Person) -> Part:
    """A column from inside the skull to the torso; its top turns with the head, its bottom does not."""
    angles = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    y = np.linspace(NECK_TOP, NECK_BOTTOM + 2.0, 9)[:, None]
    s = (y - NECK_TOP) / (NECK_BOTTOM - NECK_TOP)
    flare = 1 + 0.30 * np.clip(s - 0.65, 0, 1) ** 1.5
    x = 5.0 * person.neck_width * flare * np.sin(angles)
    z = 3.4 + 0.6 * s - 4.9 * person.neck_width * flare * np.cos(angles)
    points = np.stack([x, np.broadcast_to(y, x.shape), z], axis=-1)
    coords = np.zeros((*x.shape, 4))
    front = 0.5 + 0.5 * np.cos(angles)
    coords[..., 3] = 1 - front * 0.72 * np.clip(1.6 - s, 0, 1) - (1 - front) * 0.35
    torso = np.broadcast_to(np.clip(s, 0, 1) ** 1.3, x.shape)
    return part(points, grid(9, 28, closed=True), materials.SKIN, coords=coords, torso=torso)
