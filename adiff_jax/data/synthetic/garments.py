"""Torso and clothes: a surface of revolution with elliptical rings, cut at the neckline, over a skin-coloured body."""

import numpy as np

from adiff_jax.data.synthetic import materials
from adiff_jax.data.synthetic.head import Part, grid, join, part
from adiff_jax.data.synthetic.people import Person

# Rings from the neck down: y, half axes across and front to back, z of the centre; cm in the head's frame.
RINGS = np.array([
    [10.0, 4.2, 4.2, 4.2], [11.2, 5.2, 5.0, 4.2], [11.9, 6.5, 5.8, 4.3], [12.7, 9.0, 6.8, 4.4], [13.8, 12.2, 7.8, 4.5],
    [15.4, 15.6, 8.8, 4.6], [17.5, 18.2, 9.6, 4.7], [21.0, 20.2, 10.4, 4.8], [30.0, 20.8, 11.4, 4.8],
])  # fmt: skip
NUM_ANGLES = 48
DEEPEST = 17.0  # cm, y below every neckline


def _torso(person: Person, outset: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points [rows, angles, 3] of the torso, moved out by `outset` cm; their angle (0 in front); their ring's y."""
    fine = np.linspace(0, 1, 18) ** 1.4 * (len(RINGS) - 1)
    y, across, deep, centre = (np.interp(fine, np.arange(len(RINGS)), ring)[:, None] for ring in RINGS.T)
    angle = np.linspace(0, 2 * np.pi, NUM_ANGLES, endpoint=False)[None]
    width = (0.97 + 0.25 * (person.neck_width - 1)) * np.where(y < 13, person.neck_width, 1)
    x = (across * width + outset) * np.sin(angle)
    z = centre - (deep + outset) * np.cos(angle)
    drop = 1.5 * np.clip(np.cos(angle), -1, 1) * np.clip((16 - y) / 5, 0, 1)  # the neck's base slopes to the front
    points = np.stack([x, y + drop - 0.3 * outset, z], axis=-1)
    return points, np.broadcast_to(angle, x.shape), np.broadcast_to(y, x.shape)


def _neckline(garment: str, angle: np.ndarray) -> np.ndarray:
    """Height of the neckline (y of the ring) at each angle around the neck, cm."""
    front = np.clip(np.cos(angle), 0, 1)
    if garment == "v-neck":
        return 11.5 + 5.2 * np.clip(1 - np.abs(np.angle(np.exp(1j * angle))) / 0.75, 0, 1)
    if garment == "shirt":
        return 11.1 + 3.4 * np.clip(1 - np.abs(np.angle(np.exp(1j * angle))) / 0.42, 0, 1)
    return {"t-shirt": 11.5 + 0.8 * front**2, "hoodie": 11.3 + 0.7 * front**2, "turtleneck": 10.2 + 0 * front}[garment]


def _band(person: Person, y, radius, angles, openness: float, torso: float = 1.0) -> Part:
    """Rings of cloth around the neck at rows `y` with factors `radius` of the neck's width, at `angles`."""
    y, radius = np.asarray(y, float), np.asarray(radius, float)[:, None]
    drop = 1.5 * np.cos(angles)
    x = 5.1 * person.neck_width * radius * np.sin(angles)
    z = 4.0 - 5.1 * person.neck_width * radius * np.cos(angles)
    points = np.stack([x, y[:, None] + drop, z], axis=-1)
    coords = np.zeros((*x.shape, 4))
    coords[..., 0] = angles / (2 * np.pi) * 3
    coords[..., 1] = y[:, None] / 12
    coords[..., 2] = 1.0
    coords[..., 3] = openness
    return part(points, grid(len(y), len(angles)), materials.CLOTH, coords=coords, torso=torso)


def garment(person: Person) -> Part:
    """Body and clothes, resting on the torso."""
    body, angle, ring = _torso(person, 0.0)
    coords = np.zeros((*angle.shape, 4))
    coords[..., 3] = 1 - 0.3 * np.clip((14 - ring) / 3, 0, 1)
    triangles = grid(*angle.shape, closed=True)
    seen = int((ring[:, 0] < DEEPEST).sum()) + 1  # rings of skin that a neckline can show
    skin = part(body[:seen], grid(seen, NUM_ANGLES, closed=True), materials.SKIN, coords=coords[:seen], torso=1.0)
    parts = []

    cloth, angle, ring = _torso(person, 0.35)
    coords[..., 0] = cloth[..., 0] / 24
    coords[..., 1] = cloth[..., 1] / 24
    coords[..., 2] = ring - _neckline(person.garment, angle)
    coords[..., 3] = 1.0 - 0.25 * np.clip(1 - coords[..., 2] / 1.5, 0, 1)
    parts.append(part(cloth, triangles, materials.CLOTH, coords=coords, torso=1.0))

    parts.append(skin)

    around = np.linspace(0, 2 * np.pi, 49)
    if person.garment == "turtleneck":
        rows, radius = [12.0, 11.0, 10.0, 9.2, 8.9, 9.1], [1.22, 1.14, 1.10, 1.08, 1.05, 0.98]
        for i in range(len(rows) - 1):
            parts.append(_band(person, rows[i : i + 2][::-1], radius[i : i + 2][::-1], around, 0.9))
    elif person.garment == "hoodie":
        parts.append(
            _band(
                person,
                [9.6, 9.0, 9.3, 10.4, 12.0, 13.6],
                [1.16, 1.32, 1.58, 1.80, 1.86, 1.70],
                np.linspace(0.42, 2 * np.pi - 0.42, 49),
                0.85,
            )
        )
    elif person.garment == "shirt":
        parts.append(
            _band(
                person, [9.6, 9.3, 10.4, 12.2], [1.06, 1.12, 1.30, 1.50], np.linspace(0.30, 2 * np.pi - 0.30, 49), 0.9
            )
        )
    return join(parts)
