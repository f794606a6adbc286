"""Hair cuts as shells over the skull, curtains that hang from it, and the cover that lets their edges fray.

Shells follow the rows and columns of the skull (`head.skull_points`), continued over the forehead: row 0 is the face
oval, positive rows run to the back of the head, negative rows down to the brows.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from adiff_jax.data.synthetic import materials
from adiff_jax.data.synthetic.head import OVAL, Part, cranium, grid, part, skull_points
from adiff_jax.data.synthetic.people import Person

# From the face oval over the forehead to above the brows, one line for each column of the upper oval.
FOREHEAD = {
    10: (151, 9), 338: (337, 336), 297: (299, 296), 332: (333, 334), 284: (298, 293), 251: (301, 300), 389: (368, 383),
    356: (264, 264), 109: (108, 107), 67: (69, 66), 103: (104, 105), 54: (68, 63), 21: (71, 70), 162: (139, 156),
    127: (34, 34),
}  # fmt: skip
ROWS = np.concatenate([[-2.0, -1.5, -1.0, -0.5, 0.0], np.linspace(0.05, 1.0, 17)])
HAIRLINE = 0.55  # cm from the face oval up to the hair
SPLIT = 2  # columns of hair for each column of the oval


@dataclass(frozen=True)
class Cut:
    """A hair cut.

    Attributes:
        top, side: thickness in cm on the crown and above the ears.
        fringe: how far it comes down the forehead, in rows (0 the hairline, 2 the brows).
        recession: cm by which the hairline has moved up at the temples.
        length: y in cm to which a curtain hangs around the head; None for no curtain.
        lumps: cm of irregularity.
        curls: strands curl; also the texture is that of curls.
        parted: strands run sideways from a parting.
        bun: a knot on the crown.
    """

    top: float
    side: float
    fringe: float = 0.0
    recession: float = 0.0
    length: float | None = None
    lumps: float = 0.1
    curls: bool = False
    parted: bool = False
    bun: bool = False


CUTS = {
    "buzz": Cut(top=0.22, side=0.15, lumps=0.0),
    "short": Cut(top=1.7, side=0.5, lumps=0.25),
    "receding": Cut(top=0.6, side=0.5, recession=2.8, lumps=0.12),
    "side-parted": Cut(top=1.9, side=0.65, fringe=0.12, lumps=0.15, parted=True),
    "fringe": Cut(top=1.3, side=1.0, fringe=1.4, length=6.0, lumps=0.12),
    "curly": Cut(top=2.2, side=2.1, fringe=0.25, length=8.0, lumps=0.45, curls=True),
    "afro": Cut(top=3.4, side=3.3, lumps=0.35, curls=True),
    "bun": Cut(top=0.5, side=0.35, lumps=0.05, bun=True),
    "bob": Cut(top=1.4, side=1.3, fringe=0.15, length=8.5, lumps=0.15, parted=True),
    "long": Cut(top=1.3, side=1.1, fringe=0.05, length=19.0, lumps=0.2, parted=True),
}


def _smoothstep(low, high, x):
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _noise(rng: np.random.Generator, rows: int, columns: int, scale: int) -> Float[np.ndarray, "R C"]:
    """Smooth noise of about unit height that is periodic over the columns."""
    spectrum = np.fft.fft2(rng.standard_normal((rows * 2, columns)))
    fy, fx = np.fft.fftfreq(rows * 2)[:, None] * rows / 10, np.fft.fftfreq(columns)[None] * columns / scale
    noise = np.real(np.fft.ifft2(spectrum * np.exp(-(fx**2 + fy**2))))[:rows]
    return noise / noise.std()


def _scalp(person: Person, neutral: Float[np.ndarray, "478 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Points [R, C, 3] under the shell, and the distance [R, C] from the face oval in cm (negative on the forehead)."""

    def split(values):
        return np.stack([values + (np.roll(values, -1, axis=0) - values) * k / SPLIT for k in range(SPLIT)], 1).reshape(
            -1, 3
        )

    oval = neutral[OVAL]
    upper = np.array([neutral[FOREHEAD[v][0]] if v in FOREHEAD else neutral[v] for v in OVAL])
    lower = np.array([neutral[FOREHEAD[v][1]] if v in FOREHEAD else neutral[v] for v in OVAL])
    oval, upper, lower = split(oval), split(upper), split(lower)
    forehead = []
    for row in ROWS[ROWS < 0]:
        a, b, t = (oval, upper, -row) if row > -1 else (upper, lower, -row - 1)
        forehead.append(a + (b - a) * t)
    points = np.concatenate([np.stack(forehead), skull_points(person, oval, ROWS[ROWS >= 0])])
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    distance = np.concatenate([np.zeros((1, points.shape[1])), np.cumsum(steps, axis=0)])
    return points, distance - distance[np.count_nonzero(ROWS < 0)]


def _cover(cut: Cut, points: np.ndarray, distance: np.ndarray, fringe: np.ndarray) -> Float[np.ndarray, "R C"]:
    """Where hair grows: 0 none, 1 dense, in between thinning out."""
    x, y, z = np.moveaxis(points, -1, 0)
    temple = np.exp(-(((np.abs(x) - 4.6) / 1.9) ** 2))
    recession = cut.recession * (0.25 + 0.75 * temple)
    front = distance - recession
    row = np.broadcast_to(ROWS[:, None], x.shape)
    front = np.where(row <= 0, (row + fringe) * 2.2 - recession, front + 2.2 * fringe) - HAIRLINE * (fringe < 0.5)
    # Down the sideburn, over the ear, down to the nape.
    line = np.interp(z, [2.0, 3.3, 4.0, 6.3, 7.6, 9.5], [-1.8, -2.4, -3.4, -2.2, 3.0, 4.2])
    if cut.length is not None:  # over the ears, into the curtain
        line = np.maximum(line, np.interp(z, [1.0, 2.6], [-0.8, 2.5]))
    return _smoothstep(-0.45, 0.75, np.minimum(front, line - y))


def _shell(person: Person, neutral: Float[np.ndarray, "478 3"], cut: Cut, rng: np.random.Generator) -> Part:
    points, distance = _scalp(person, neutral)
    centre, radii = cranium(person)
    rows, columns = distance.shape
    normal = (points - centre) / radii**2
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    x, y, z = np.moveaxis(points, -1, 0)
    fringe = np.full(columns, cut.fringe)
    if cut.parted:
        fringe = cut.fringe * (1 + 1.1 * np.tanh(-(x[0] * person.parting - 2.5) / 2.0))
    fringe = fringe + 0.12 * _noise(rng, 4, columns, 14)[0] * (cut.fringe > 0)
    cover = _cover(cut, points, distance, fringe[None])
    high = _smoothstep(1.0, -8.0, y)
    thickness = (cut.side + (cut.top - cut.side) * high) * person.hair_volume
    thickness = thickness * (0.25 + 0.75 * _smoothstep(-0.2, 2.2, distance + 1.6 * np.maximum(fringe, 0)))
    if cut.curls:
        thickness = thickness + 0.16 * rng.standard_normal((rows, columns))
    thickness = (
        np.maximum(thickness, 0.12) * _smoothstep(-0.2, 0.9, cover) + cut.lumps * _noise(rng, rows, columns, 9) * cover
    )
    if cut.parted:
        groove = np.exp(-(((x - 2.8 * person.parting) / 0.7) ** 2)) * (z < 6)
        thickness = thickness * (1 - 0.5 * groove)
    shell = points + normal * (0.10 + thickness[..., None])

    coords = np.zeros((rows, columns, 4))
    if cut.parted:
        coords[..., 0] = z / 14 + 0.02 * x
        coords[..., 1] = (x - 2.8 * person.parting) / 18
        tangents = np.gradient(shell, axis=1) * np.sign(x + 1e-6)[..., None]
    else:
        coords[..., 0] = np.arange(columns) / columns * 3
        coords[..., 1] = distance / 18
        tangents = np.gradient(shell, axis=0)
    tangents = tangents / (np.linalg.norm(tangents, axis=-1, keepdims=True) + 1e-9)
    coords[..., 2] = cover
    coords[..., 3] = 0.62 + 0.38 * _smoothstep(0.0, 0.9, thickness / max(cut.side, 0.2))
    follow = np.broadcast_to(np.clip(1 - np.maximum(ROWS, 0) / 0.5, 0, 1)[:, None] ** 2, (rows, columns))
    column = np.broadcast_to(np.arange(columns) // SPLIT, (rows, columns))

    def close(values):  # the first column again at the end, so that the texture need not wrap within a triangle
        return np.concatenate([values, values[:, :1]], axis=1)

    coords = close(coords)
    if not cut.parted:
        coords[:, -1, 0] = 3
    triangles = grid(rows, columns + 1)
    return part(
        close(shell), triangles[:, ::-1], materials.HAIR,
        coords=coords, tangents=close(tangents), follow=close(follow), column=close(column),
    )  # fmt: skip


def _curtain(person: Person, cut: Cut, rng: np.random.Generator) -> Part:
    """Hair that hangs from the cap around sides and back, open in front."""
    rows, columns = 16, 44
    s = np.linspace(0, 1, rows)[:, None]
    reach = np.radians(97)
    angle = np.linspace(-reach, reach, columns)[None]  # 0 at the back
    volume = person.hair_volume * cut.side
    y = -5.5 + (cut.length + 5.5) * s + 0.5 * np.abs(np.sin(angle)) * s
    swell = volume * (0.75 + 0.25 * np.sin(np.pi * np.minimum(1, s * 1.2))) + cut.lumps * _noise(rng, rows, columns, 8)
    if cut.curls:
        swell = swell + 0.2 * rng.standard_normal((rows, columns))
    swell = swell + 1.0 * s * (cut.length > 7) - 0.5 * _smoothstep(0.9, 1.0, s)
    out = _smoothstep(0.0, 3.0 / (cut.length + 5.5), s)  # it grows out of the cap
    x = (6.6 + (1.15 + swell) * out) * np.sin(angle)
    z = 3.0 + (7.6 + (8.6 * person.head_depth - 7.6 + swell) * out) * np.cos(angle)
    forward = _smoothstep(np.radians(60), np.radians(97), np.abs(angle)) * _smoothstep(6.0, 13.0, y)
    z = z - 6.0 * forward
    x = x * (1 - 0.10 * forward)
    points = np.stack(np.broadcast_arrays(x, y, z), axis=-1)
    tangents = np.gradient(points, axis=0)
    tangents /= np.linalg.norm(tangents, axis=-1, keepdims=True)
    coords = np.zeros((rows, columns, 4))
    coords[..., 0] = angle / (2 * np.pi) * 3
    coords[..., 1] = y / 18
    edge = np.minimum(1, (reach - np.abs(angle)) / 0.12)
    coords[..., 2] = np.minimum(0.35 + 0.65 * edge, _smoothstep(1.02, 0.90, s))
    coords[..., 3] = 0.95 - 0.35 * s * (cut.length > 7)
    torso = 0.75 * _smoothstep(4.0, 15.0, points[..., 1])
    return part(points, grid(rows, columns), materials.HAIR, coords=coords, tangents=tangents, torso=torso)


def _bun(person: Person) -> Part:
    """A knot of hair above the back of the crown."""
    polar, around = np.linspace(0.05, np.pi - 0.05, 12)[:, None], np.linspace(0, 2 * np.pi, 24, endpoint=False)
    unit = np.stack(
        np.broadcast_arrays(np.sin(polar) * np.cos(around), -np.cos(polar), np.sin(polar) * np.sin(around)), -1
    )
    points = np.array([0, -13.0 * person.head_height, 4.6]) + unit * np.array([2.9, 2.3, 2.7])
    tangents = np.stack(np.broadcast_arrays(-np.sin(around), 0 * polar, np.cos(around)), -1)
    coords = np.zeros((*points.shape[:2], 4))
    coords[..., 0] = polar / np.pi
    coords[..., 1] = np.sin(around) * 0.3
    coords[..., 2:] = (1.0, 0.9)
    return part(points, grid(12, 24, closed=True), materials.HAIR, coords=coords, tangents=tangents)


def hair(person: Person, neutral: Float[np.ndarray, "478 3"]) -> list[Part]:
    """The parts of the person's hair cut; none for a bald head."""
    if person.cut == "bald":
        return []
    cut = CUTS[person.cut]
    rng = np.random.default_rng([person.seed, 0x4A1])
    parts = [_shell(person, neutral, cut, rng)]
    if cut.length is not None:
        parts.append(_curtain(person, cut, rng))
    if cut.bun:
        parts.append(_bun(person))
    return parts
