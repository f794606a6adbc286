"""Glasses: rims of round tube in front of the eyes, a bridge, and temples to the ears."""

import numpy as np
from jaxtyping import Float

from adiff_jax.data.synthetic import materials
from adiff_jax.data.synthetic.head import Part, grid, join, part
from adiff_jax.data.synthetic.mesh import LEFT_EYE, RIGHT_EYE
from adiff_jax.data.synthetic.people import Person

# Half width and half height of a rim in cm, exponent of its superellipse, lift of the outer corner in cm.
RIMS = {
    "round": (2.25, 2.15, 2.0, 0.0), "rectangular": (2.65, 1.65, 4.5, 0.0), "oval": (2.5, 1.65, 2.2, 0.0),
    "cat-eye": (2.6, 1.8, 2.8, 0.7),
}  # fmt: skip
TUBE = {"golden": 0.10, "silver": 0.10}  # radius in cm; plastic rims are thicker
PLASTIC = 0.19


def _tube(path: Float[np.ndarray, "N 3"], radius: float, closed: bool) -> Part:
    """A tube of six sides around a path."""
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0) if closed else np.gradient(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
    reference = np.array([0, 0, 1.0]) if closed else np.array([0, 1.0, 0])
    side = np.cross(ahead, reference)
    side /= np.linalg.norm(side, axis=-1, keepdims=True)
    normal = np.cross(side, ahead)
    angle = np.linspace(0, 2 * np.pi, 6, endpoint=False)[:, None, None]
    points = path + radius * (np.cos(angle) * side + np.sin(angle) * normal)  # [6, N, 3]
    triangles = grid(len(path) + closed, 6, closed=True)
    if closed:
        triangles = 468 + (triangles - 468) % (6 * len(path))
    return part(points.transpose(1, 0, 2), triangles, materials.FRAME)


def glasses(person: Person, neutral: Float[np.ndarray, "478 3"]) -> list[Part]:
    """The parts of the person's glasses; none if they wear none."""
    if person.glasses == "none":
        return []
    half_width, half_height, exponent, lift = RIMS[person.glasses]
    radius = TUBE.get(person.glasses_colour.name, PLASTIC)
    eyes = [neutral[list(contour)].mean(axis=0) for contour in (RIGHT_EYE, LEFT_EYE)]
    spacing = eyes[1][0] - eyes[0][0]
    half_width = min(half_width, 0.5 * spacing - 0.55)
    height = 0.5 * (eyes[0][1] + eyes[1][1]) + 0.25
    front = min(neutral[[6, 168, 197], 2].min(), neutral[[105, 334, 66, 296], 2].min()) - 0.55
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    cosine, sine = np.cos(angle), np.sin(angle)
    outline_x = np.sign(cosine) * np.abs(cosine) ** (2 / exponent) * half_width
    outline_y = np.sign(sine) * np.abs(sine) ** (2 / exponent) * half_height
    parts = []

    def depth(x, y):
        return front + 0.028 * x**2 - 0.02 * (y - height)

    for side in (-1, 1):
        middle = side * (0.5 * spacing + 0.12)
        x = middle + outline_x
        y = height + outline_y - lift * np.clip(side * outline_x / half_width, 0, 1) ** 2 * (outline_y < 0)
        parts.append(_tube(np.stack([x, y, depth(x, y)], -1), radius, closed=True))
        hinge = np.array([middle + side * half_width, height - 0.45 * half_height - 0.6 * lift])
        ear = neutral[234 if side < 0 else 454] + np.array([side * 0.45, -1.9, 1.6])
        start = np.array([*hinge, depth(*hinge)])
        bend = np.array([side * max(abs(hinge[0]) + 0.25, abs(ear[0]) - 0.2), hinge[1], start[2] + 0.9])
        parts.append(_tube(np.stack([start, bend, ear, ear + np.array([0, 0.9, 1.6])]), radius * 0.9, closed=False))
    inner = 0.5 * spacing + 0.12 - half_width
    x = np.linspace(-inner, inner, 7)
    y = height - 0.35 * half_height - 0.35 * (1 - (x / inner) ** 2)
    parts.append(_tube(np.stack([x, y, depth(x, y) - 0.05], -1), radius * 0.95, closed=False))
    return [join(parts)]
