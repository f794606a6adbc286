"""A face painted once a person on the UV square of the canonical mesh, so that all of it moves with the skin.

Everything is laid out by the texture coordinates of landmarks. A layer is a mask in [0, 1] and a colour blended in by
it. Colours are sRGB in [0, 255] while painting and linear in the result.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32

from adiff_jax.data.synthetic import mesh
from adiff_jax.data.synthetic.people import Person, linear_rgb

Colour = Sequence[float] | Float[np.ndarray, "3"]

SIZE = 512
SUBPIXEL = 4  # fractional bits of OpenCV's coordinates
NOSTRILS = ((79, 239, 238, 20, 60, 75, 59, 166), (309, 459, 458, 250, 290, 305, 289, 392))
BROWS = (((46, 53, 52, 65, 55), (70, 63, 105, 66, 107)), ((276, 283, 282, 295, 285), (300, 293, 334, 296, 336)))
BROW_DROP = 3.5  # texels by which the hairs sit below the outline, as they are read to be there
CREASES = ((247, 30, 29, 27, 28, 56, 190), (467, 260, 259, 257, 258, 286, 414))
SOCKETS = (
    (113, 225, 224, 223, 222, 221, 189, 190, 56, 28, 27, 29, 30, 247),
    (342, 445, 444, 443, 442, 441, 413, 414, 286, 258, 257, 259, 260, 467),
)
BAGS = ((25, 110, 24, 23, 22, 26, 112, 121, 120, 119, 118), (255, 339, 254, 253, 252, 256, 341, 350, 349, 348, 347))
FOLDS = ((129, 203, 206, 216, 212), (358, 423, 426, 436, 432))  # nasolabial
CROWS_FEET = ((33, 130, 226), (263, 359, 446))
BEARD = (
    234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454,
    447, 345, 352, 411, 427, 436, 426, 391, 393, 164, 167, 165, 206, 216, 207, 187, 123, 116, 227,
)  # fmt: skip
MOUSTACHE = (57, 186, 92, 165, 167, 164, 393, 391, 322, 410, 287, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61)
GOATEE = (*MOUSTACHE[:11], 432, 422, 424, 418, 378, 400, 377, 152, 148, 176, 149, 194, 204, 202, 212)

# Texture coordinates in texels; those of the irises do not exist.
UV: Float[np.ndarray, "468 2"] = mesh.UV * SIZE


def _fixed(points: Float[np.ndarray, "N 2"]) -> np.ndarray:
    return np.round((points - 0.5) * 2**SUBPIXEL).astype(np.int32)


class _Mask(NamedTuple):
    """Values in [0, 1] over a window of the texture; 0 outside it."""

    values: Float32[np.ndarray, "h w"]
    top: int
    left: int

    @property
    def window(self) -> tuple[slice, slice]:
        return np.s_[self.top : self.top + self.values.shape[0], self.left : self.left + self.values.shape[1]]

    def full(self) -> Float32[np.ndarray, "H W"]:
        whole = np.zeros((SIZE, SIZE), np.float32)
        whole[self.window] = self.values
        return whole


def _draw(points: Float[np.ndarray, "N 2"], blur: float, width: int) -> _Mask:
    """A filled polygon, or if `width` is not 0 a line of that many texels, softened by a Gaussian of `blur` texels."""
    margin = int(3 * blur) + width + 2
    low = np.clip(np.floor(points.min(axis=0)).astype(int) - margin, 0, SIZE)
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + margin, 0, SIZE)
    mask = np.zeros(np.maximum(high - low, 1)[::-1], np.uint8)
    if width:
        cv2.polylines(mask, [_fixed(points - low)], False, 255, width, cv2.LINE_AA, SUBPIXEL)
    else:
        cv2.fillPoly(mask, [_fixed(points - low)], 255, cv2.LINE_AA, SUBPIXEL)
    values = mask.astype(np.float32) / 255
    if blur:
        values = cv2.GaussianBlur(values, (0, 0), blur, borderType=cv2.BORDER_CONSTANT)
    return _Mask(values, int(low[1]), int(low[0]))


def _points(points: Sequence[int] | Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 2"]:
    return points if isinstance(points, np.ndarray) else UV[list(points)]


def _area(points: Sequence[int] | Float[np.ndarray, "N 2"], blur: float = 0.0) -> _Mask:
    """A polygon through landmarks (or texel coordinates)."""
    return _draw(_points(points), blur, 0)


def _line(points: Sequence[int] | Float[np.ndarray, "N 2"], width: int, blur: float = 0.0) -> _Mask:
    """A smooth line through landmarks (or texel coordinates)."""
    return _draw(_smooth(_points(points)), blur, width)


def _smooth(line: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "M 2"]:
    """The line with its corners cut twice (Chaikin's curve)."""
    for _ in range(2):
        inner = np.stack([0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]], 1).reshape(-1, 2)
        line = np.concatenate([line[:1], inner, line[-1:]])
    return line


def _blob(landmark: int, radius: float) -> _Mask:
    """A Gaussian around a landmark, `radius` in texels."""
    x, y = UV[landmark]
    left, right = np.clip([int(x - 3.2 * radius), int(x + 3.2 * radius)], 0, SIZE)
    top, bottom = np.clip([int(y - 3.2 * radius), int(y + 3.2 * radius)], 0, SIZE)
    column = np.exp(-((np.arange(top, bottom) + 0.5 - y) ** 2) / (2 * radius**2))
    row = np.exp(-((np.arange(left, right) + 0.5 - x) ** 2) / (2 * radius**2))
    return _Mask(np.outer(column, row).astype(np.float32), int(top), int(left))


def _noise(rng: np.random.Generator, blur: float, aspect: float = 1.0) -> Float32[np.ndarray, "H W"]:
    """Gaussian noise of unit variance, smoothed over `blur` texels, `aspect` times that downwards."""
    step = 8 if blur > 8 else 2 if blur > 1.5 else 1  # coarse noise is made small and enlarged
    noise = rng.standard_normal((SIZE // step, SIZE // step), np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), blur / step, sigmaY=blur / step * aspect)
    if step > 1:
        noise = cv2.resize(noise, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    return noise / noise.std()


class _Canvas:
    """The picture while it is painted."""

    def __init__(self, colour: Colour, gloss: float):
        self.rgb = np.empty((SIZE, SIZE, 3), np.float32)
        self.rgb[:] = colour
        self.gloss = np.full((SIZE, SIZE), gloss, np.float32)

    def blend(self, mask: _Mask, colour: Colour, strength: float = 1.0) -> None:
        view, alpha = self.rgb[mask.window], (mask.values * strength)[..., None]
        view += alpha * (np.asarray(colour, np.float32) - view)

    def multiply(self, mask: _Mask, factor: Colour | float, strength: float = 1.0) -> None:
        view = self.rgb[mask.window]
        view *= 1 + (mask.values * strength)[..., None] * (np.asarray(factor, np.float32) - 1)

    def shine(self, mask: _Mask, gloss: float) -> None:
        view = self.gloss[mask.window]
        view += mask.values * (gloss - view)


def _strokes(
    rng: np.random.Generator, roots: np.ndarray, directions: np.ndarray, length: np.ndarray, blur: float
) -> tuple[_Mask, _Mask]:
    """Short hairs from `roots` along unit `directions`, texels: as drawn, and softened."""
    ends = roots + directions * length[:, None]
    low = np.clip(np.minimum(roots, ends).min(axis=0).astype(int) - int(3 * blur) - 2, 0, SIZE)
    high = np.clip(np.maximum(roots, ends).max(axis=0).astype(int) + int(3 * blur) + 3, 0, SIZE)
    mask = np.zeros((high - low)[::-1], np.uint8)
    for root, end, value in zip(_fixed(roots - low), _fixed(ends - low), rng.integers(150, 256, len(roots))):
        cv2.line(mask, tuple(root.tolist()), tuple(end.tolist()), int(value), 1, cv2.LINE_AA, SUBPIXEL)
    values = mask.astype(np.float32) / 255
    sharp = _Mask(values, int(low[1]), int(low[0]))
    return sharp, sharp._replace(values=cv2.GaussianBlur(values, (0, 0), blur))


def _paint_skin(canvas: _Canvas, person: Person, rng: np.random.Generator) -> None:
    """Variation of tone, blush, freckles; the folds where light hardly reaches."""
    canvas.rgb *= (1 - 0.01 * _noise(rng, 40) - 0.012 * _noise(rng, 2.2))[..., None]
    red = np.array([1.06, 0.86, 0.84])
    for landmark, radius, strength in ((50, 34, 0.5), (280, 34, 0.5), (4, 18, 0.3), (199, 26, 0.2), (10, 50, 0.05)):
        canvas.multiply(_blob(landmark, radius), red, strength * (0.35 + person.blush))
    canvas.multiply(_blob(151, 50), 1.04)
    for bag in BAGS:
        canvas.multiply(_area(bag, 5), (0.84, 0.80, 0.84), 0.35 + 0.4 * max(0, (person.age - 40) / 45))
    if person.freckles:
        dots = cv2.GaussianBlur((_noise(rng, 1.4) > 2.0).astype(np.float32), (0, 0), 0.8)
        for landmark, radius in ((50, 42), (280, 42), (195, 34)):
            where = _blob(landmark, radius)
            mask = where._replace(values=where.values * dots[where.window])
            canvas.multiply(mask, (0.74, 0.58, 0.46), person.freckles)
    shade = np.array([0.62, 0.50, 0.47])
    for side in range(2):
        canvas.multiply(_area(SOCKETS[side], 6), shade, 0.30)
        inner_corner = (244, 464)[side]
        canvas.multiply(_blob(inner_corner, 9), shade, 0.40)
        canvas.multiply(_line(((129, 102, 48), (358, 331, 278))[side], 4, 2.5), shade, 0.65)
        canvas.multiply(_line(((98, 64, 129), (327, 294, 358))[side], 3, 2.0), shade, 0.60)
        canvas.multiply(_line((188, 114, 217, 126) if side == 0 else (412, 343, 437, 355), 8, 6), shade, 0.22)
        hole = UV[list(NOSTRILS[side])]
        canvas.blend(
            _area(hole.mean(0) + 1.0 * (hole - hole.mean(0)), 1.6),
            np.multiply(person.skin.rgb, (0.22, 0.14, 0.13)),
            0.95,
        )
    canvas.multiply(_line((98, 97, 2, 326, 327), 5, 3.5), shade, 0.55)
    canvas.multiply(_line((202, 182, 18, 406, 422), 10, 6), shade, 0.34)
    canvas.multiply(_line((164, 164, 0), 5, 3.5), shade, 0.16)
    canvas.multiply(_line(mesh.JAW_LINE[3:-3], 9, 7), shade, 0.45)
    for landmark in (4, 195, 9, 50, 280, 199):
        canvas.shine(_blob(landmark, 24), 0.38)


def _paint_age(canvas: _Canvas, person: Person) -> None:
    """Lines of the forehead, around the eyes, from nose to mouth."""
    amount = float(np.clip((person.age - 30) / 45, 0, 1))
    shade = np.array([0.70, 0.58, 0.54])
    for side in range(2):
        canvas.multiply(_line(FOLDS[side], 3, 2.2), shade, 0.16 + 0.55 * amount)
        corner = UV[CROWS_FEET[side][0]]
        out = UV[CROWS_FEET[side][2]] - corner
        out /= np.linalg.norm(out)
        for turn in (-0.45, 0.0, 0.4):
            direction = np.array([out[0], out[1] + turn])
            canvas.multiply(
                _line(np.stack([corner + 9 * direction, corner + 34 * direction]), 1, 1.2), shade, 0.9 * amount
            )
        canvas.multiply(_line(((61, 57, 43), (291, 287, 273))[side], 2, 2.0), shade, 0.7 * amount)
        canvas.multiply(_line(((55, 193), (285, 417))[side], 2, 1.6), shade, 0.6 * amount)
    middle = UV[151]
    for height, reach, bend in ((-20, 62, 3), (-2, 70, 5), (15, 60, 7)):
        sideways = np.linspace(-1, 1, 7)[:, None]
        line = middle + sideways * (reach, 0) + (0, height) + (1 - np.cos(3 * sideways)) * (0, -0.5 * bend)
        canvas.multiply(_line(line, 2, 1.4), shade, 0.6 * amount)


def lip_colour(person: Person) -> Float[np.ndarray, "3"]:
    """The colour of the lips, sRGB."""
    skin = np.array(person.skin.rgb, np.float32)
    natural = skin * (0.90, 0.66, 0.64) if skin.mean() > 110 else skin * (1.02, 0.80, 0.80)
    painted = np.array([176, 32, 52]) if person.make_up > 0.55 else np.array([190, 88, 92])
    redness = 0.55 * person.lip_redness if skin.mean() > 90 else 0.35 * person.lip_redness
    return natural + redness * (painted - natural)


def _paint_lips(canvas: _Canvas, person: Person) -> None:
    """Colour within the vermilion border, darker where the lips meet, glossy in the middle."""
    colour = lip_colour(person)
    lips = _area(mesh.LIPS_OUTER, 1.4)
    lips = lips._replace(values=np.clip(1.25 * lips.values, 0, 1))
    canvas.blend(lips, colour, 0.95)
    canvas.multiply(_area((*mesh.LIPS_OUTER[10:], *mesh.UPPER_LIP_INNER), 1.5), (0.92, 0.88, 0.88), 0.9)
    canvas.multiply(_line(mesh.LOWER_LIP_INNER, 2, 1.2), (0.70, 0.56, 0.56), 0.5)
    for corner in (61, 291):
        canvas.multiply(_blob(corner, 5), (0.6, 0.5, 0.5), 0.6)
    canvas.shine(lips, 0.25 + 0.5 * person.make_up)
    canvas.multiply(_blob(15, 9), 1.10, 0.6)


def _paint_eyes(canvas: _Canvas, person: Person) -> None:
    """Lid crease, eye shadow, and the dark line of the lashes along the lids."""
    dark = np.multiply(person.skin.rgb, 0.16 if person.make_up > 0.3 else 0.24)
    shadow = np.multiply(person.skin.rgb, (0.62, 0.48, 0.56))
    lids = ((mesh.RIGHT_UPPER_LID, mesh.RIGHT_LOWER_LID), (mesh.LEFT_UPPER_LID, mesh.LEFT_LOWER_LID))
    for (upper, lower), crease in zip(lids, CREASES):
        lid = _area((*upper, *reversed(crease)), 2.0)
        canvas.multiply(lid, (0.92, 0.86, 0.84), 0.8)
        canvas.blend(lid, shadow, 0.55 * person.make_up)
        canvas.multiply(_line(UV[list(crease)] - np.array([0, 1.0]), 2, 1.6), (0.55, 0.43, 0.40), 0.8)
        canvas.blend(_line(upper, 2, 0.8), dark, 0.9)
        canvas.blend(_line(upper, 5, 2.0), dark, 0.25 + 0.35 * person.make_up)
        canvas.blend(_line(lower, 2, 1.0), dark, 0.45 + 0.3 * person.make_up)


def _along(curve: Float[np.ndarray, "N 2"], at: Float[np.ndarray, "M"]) -> Float[np.ndarray, "M 2"]:
    """Points of a curve at the given shares, in [0, 1], of its points."""
    position = at * (len(curve) - 1)
    return np.stack([np.interp(position, np.arange(len(curve)), curve[:, axis]) for axis in range(2)], axis=-1)


def _paint_brows(canvas: _Canvas, person: Person, rng: np.random.Generator) -> None:
    """Hairs from the nose outwards; the inner ones stand up."""
    skin, hair = np.array(person.skin.rgb, np.float32), np.array(person.hair.rgb, np.float32)
    if person.hair.name in ("pink", "blue", "white", "grey"):
        hair = 0.35 * hair + 0.65 * np.array([70, 56, 48])
    colour = np.minimum(hair * 0.85, 0.8 * skin) * person.brow_darkness + (1 - person.brow_darkness) * 0.55 * skin
    for lower, upper in BROWS:
        low, high = (_smooth(UV[list(edge)]) + np.array([0, BROW_DROP]) for edge in (lower, upper))
        count = int(260 + 200 * person.brow_thickness)
        along, across = rng.uniform(0, 1, count), rng.uniform(0, 1, count)
        centre = 0.5 * (low + high)
        half = (0.5 * (high - low)) * (0.50 + 0.50 * person.brow_thickness)
        taper = np.interp(along, [0, 0.35, 1], [0.35, 0.85, 1.0])[:, None]
        roots = _along(centre, along) + _along(half, along) * taper * (2 * across[:, None] - 1)
        outward = centre[0] - centre[-1]
        outward /= np.linalg.norm(outward)
        lift = np.interp(along, [0, 0.6, 1], [0.25, -0.35, -1.1])[:, None]
        directions = outward + np.array([[0, 1.0]]) * (lift + 0.15 * rng.standard_normal((count, 1)))
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        hairs, body = _strokes(rng, roots, directions, rng.uniform(7, 14, count), 2.5)
        body = body._replace(values=np.clip(1.2 * body.values, 0, 1))
        canvas.blend(body, colour, 0.45 + 0.4 * person.brow_thickness)
        canvas.blend(hairs, colour * 0.8, 0.85)


def _paint_beard(canvas: _Canvas, person: Person, rng: np.random.Generator) -> None:
    """Stubble as a shadow with dots; a beard as strokes that run down and away from the nose."""
    if person.beard == "none":
        return
    outline = {"stubble": BEARD, "full beard": BEARD, "moustache": MOUSTACHE, "goatee": GOATEE}[person.beard]
    area = _area(outline, 9 if outline is BEARD else 5)
    mask = area.values * (1 - _area(mesh.LIPS_OUTER, 1.2).full()[area.window])
    hair = np.minimum(np.array(person.hair.rgb, np.float32), 210)
    if person.beard == "stubble":
        dots = np.clip(0.5 + 0.5 * _noise(rng, 0.9)[area.window], 0, 1)
        shadow = 0.55 * np.array(person.skin.rgb, np.float32) + 0.25 * hair
        canvas.blend(area._replace(values=mask * (0.55 + 0.45 * dots)), shadow, 0.55)
        return
    strands = _noise(rng, 0.8, aspect=5.0)[area.window]
    dense = area._replace(values=np.clip(1.35 * mask + 0.25 * strands * (mask > 0.02) - 0.15, 0, 1))
    canvas.blend(dense, hair * 0.85, 0.93)
    canvas.multiply(dense._replace(values=np.clip(strands, -1.5, 1.5) * dense.values), 1.22)
    canvas.shine(dense, 0.03)


def face_texture(person: Person) -> Float32[np.ndarray, "512 512 4"]:
    """The face's colour, linear RGB in [0, 1], and gloss in [0, 1], over the UV square."""
    rng = np.random.default_rng([person.seed, 0xFACE])
    canvas = _Canvas(person.skin.rgb, gloss=0.16)
    _paint_skin(canvas, person, rng)
    _paint_age(canvas, person)
    _paint_eyes(canvas, person)
    _paint_beard(canvas, person, rng)
    _paint_lips(canvas, person)
    _paint_brows(canvas, person, rng)
    # Towards its border the face takes on the plain skin of ears, temples and neck, which have no texture.
    inside = cv2.GaussianBlur(cv2.erode(_area(mesh.FACE_OVAL).full(), np.ones((9, 9))), (0, 0), 5)
    border = _Mask(1 - inside, 0, 0)
    if person.beard not in ("stubble", "full beard"):
        canvas.blend(border, person.skin.rgb, 0.8)
    canvas.shine(border, 0.12)
    return np.concatenate([linear_rgb(np.clip(canvas.rgb, 0, 255)), canvas.gloss[..., None]], axis=-1).astype(
        np.float32
    )


def mipmaps(texture: Float32[np.ndarray, "H W C"], levels: int = 4) -> tuple[Float32[np.ndarray, "h w C"], ...]:
    """The texture and its halvings, largest first, to be sampled without aliasing."""
    pyramid = [texture]
    for _ in range(levels - 1):
        rows = pyramid[-1][0::2] + pyramid[-1][1::2]
        pyramid.append(0.25 * (rows[:, 0::2] + rows[:, 1::2]))
    return tuple(pyramid)
