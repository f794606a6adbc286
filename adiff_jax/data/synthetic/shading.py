"""Light on the visible triangles: one small function a material, in linear colour, then a tone curve.

Colours are linear RGB in [0, 1] unless a docstring says sRGB. Directions are unit vectors in the picture's frame
(x right, y down, z into the picture), so the camera looks along +z.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int, UInt8
from numba import njit

from adiff_jax.data.synthetic import materials
from adiff_jax.data.synthetic.raster import Surface, bilinear

WRAP = (0.34, 0.20, 0.14)  # light bleeds past the terminator, red most: skin scatters it
TOOTH_WIDTH = 0.74  # cm along the arch
TOOTH_HEIGHT = 0.95  # cm
LID_EDGE = (0.04, 0.18)  # cm below the contour of the upper lid over which the lashes' roots hide the eye
LIP_EDGE = (0.02, 0.14)  # cm within the contour of the mouth over which the lips turn inwards
ARCH = (2.55, 2.3)  # cm, half axes of the dental arch across and into the mouth


class Look(NamedTuple):
    """What a person's surfaces are made of.

    Attributes:
        face: colour and gloss over the UV square of the canonical mesh.
        strands: brightness factor of hair strands, and the cover below which they are cut.
        cloth: colour of one repeat of the pattern.
        skin, lips, hair, iris, frame, lash: colours.
        hair_gloss: strength of the highlight along hair strands.
    """

    face: Float32[np.ndarray, "H W 4"]
    strands: Float32[np.ndarray, "H W 2"]
    cloth: Float32[np.ndarray, "H W 3"]
    skin: Float32[np.ndarray, "3"]
    lips: Float32[np.ndarray, "3"]
    hair: Float32[np.ndarray, "3"]
    iris: Float32[np.ndarray, "3"]
    frame: Float32[np.ndarray, "3"]
    lash: Float32[np.ndarray, "3"]
    hair_gloss: float


class Light(NamedTuple):
    """One lamp and a sky: `direction` points to the lamp, `sky` shines from above and `ground` from below."""

    direction: Float32[np.ndarray, "3"]
    key: Float32[np.ndarray, "3"]
    sky: Float32[np.ndarray, "3"]
    ground: Float32[np.ndarray, "3"]


class Openings(NamedTuple):
    """Where eyes and teeth are in one frame.

    Attributes:
        iris_centre: centres of the right and the left iris, samples.
        iris_inverse: maps an offset from that centre to the iris' unit disc.
        rotation, translation, scale: of the head, `picture = scale * rotation @ local + translation`, samples.
        upper_edge, lower_edge: heights of the cutting edges of the teeth, cm in the head's frame, y down.
        front: depth of the front teeth, cm in the head's frame.
    """

    iris_centre: Float32[np.ndarray, "2 2"]
    iris_inverse: Float32[np.ndarray, "2 2 2"]
    rotation: Float32[np.ndarray, "3 3"]
    translation: Float32[np.ndarray, "3"]
    scale: float
    upper_edge: float
    lower_edge: float
    front: float


def _tone_curve() -> Float32[np.ndarray, "4096"]:
    """The value, sRGB in [0, 255], of linear light in [0, 4): straight in the shadows, rolling off above 0.6."""
    x = np.arange(4096) / 1024
    rolled = np.where(x < 0.6, x, 0.6 + 0.4 * (1 - np.exp(-(x - 0.6) / 0.4)))
    srgb = np.where(rolled < 0.0031308, 12.92 * rolled, 1.055 * np.maximum(rolled, 1e-9) ** (1 / 2.4) - 0.055)
    return (255 * srgb).astype(np.float32)


TONE = _tone_curve()


@njit(cache=True, error_model="numpy")
def smoothstep(low, high, x):
    """0 where x is beyond `low`, 1 where it is beyond `high`, smooth in between."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@njit(cache=True, error_model="numpy")
def _lit(channel, ndl, wrap, ny, openness, light):
    """Diffuse light that reaches a surface, for one colour channel."""
    sky = 0.5 - 0.5 * ny
    ambient = light.sky[channel] * sky + light.ground[channel] * (1 - sky)
    direct = max(0.0, (ndl + wrap) / (1 + wrap))
    return ambient * openness + light.key[channel] * direct * openness


@njit(cache=True, error_model="numpy")
def _highlight(nx, ny, nz, light, doublings):
    """Blinn-Phong term with exponent 2**doublings."""
    hx, hy, hz = light.direction[0], light.direction[1], light.direction[2] - 1
    ndh = max(0.0, (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz))
    for _ in range(doublings):
        ndh *= ndh
    return ndh


@njit(cache=True, error_model="numpy")
def _skin(albedo, gloss, openness, nx, ny, nz, light, out):
    ndl = nx * light.direction[0] + ny * light.direction[1] + nz * light.direction[2]
    shine = gloss * (0.35 * _highlight(nx, ny, nz, light, 5) + 0.25 * _highlight(nx, ny, nz, light, 3))
    rim = (1 + min(nz, 0.0)) ** 3
    for channel in range(3):
        lit = _lit(channel, ndl, WRAP[channel], ny, openness, light)
        out[channel] = albedo[channel] * (lit + 0.12 * rim * light.sky[channel]) + shine * light.key[channel] * openness


@njit(cache=True, error_model="numpy")
def _eye(side, x, y, along, below_upper, above_lower, look, openings, light, out):
    """Sclera, iris, pupil and the lamp's reflection, under the shadow of the lids."""
    dx, dy = x - openings.iris_centre[side, 0], y - openings.iris_centre[side, 1]
    inverse = openings.iris_inverse[side]
    u = inverse[0, 0] * dx + inverse[0, 1] * dy
    v = inverse[1, 0] * dx + inverse[1, 1] * dy
    radius = np.sqrt(u * u + v * v)
    corner = smoothstep(0.16, 0.0, min(along, 1 - along))
    shadow = (0.18 + 0.82 * smoothstep(0.0, 0.42, below_upper)) * (0.60 + 0.40 * smoothstep(-0.05, 0.2, above_lower))
    white = smoothstep(0.92, 1.06, radius)
    pupil = smoothstep(0.47, 0.38, radius)
    fibres = 1 + 0.22 * np.sin(9 * np.arctan2(v, u) + 3 * np.sin(23 * np.arctan2(v, u)))
    tint = fibres * (1.25 - 0.75 * smoothstep(0.55, 0.98, radius)) * (1 + 0.45 * v)
    glint_u, glint_v = u - 0.42 * light.direction[0] - 0.1, v - 0.42 * light.direction[1]
    glint = smoothstep(0.30, 0.16, np.sqrt(glint_u * glint_u + glint_v * glint_v))
    inside = smoothstep(LID_EDGE[0], LID_EDGE[1], below_upper) * smoothstep(0.0, 0.10, above_lower)
    for channel in range(3):
        sclera = (0.52, 0.48, 0.455)[channel] * (1 - corner * (0.10, 0.42, 0.42)[channel])
        iris = look.iris[channel] * tint * (1 - pupil) + 0.006
        colour = iris * (1 - white) + sclera * white
        lit = 0.75 * (0.5 * (light.sky[channel] + light.ground[channel])) + 0.62 * light.key[channel]
        colour = shadow * colour * lit + 0.9 * glint
        out[channel] = inside * colour + (1 - inside) * (0.15 * look.skin[channel] + 0.3 * look.lash[channel]) * lit


@njit(cache=True, error_model="numpy")
def _mouth(x, y, z, below_upper, above_lower, look, openings, light, out):
    """Teeth on an elliptic arch that the line of sight meets behind the lips; else tongue, else the dark of the mouth.

    The lips turn inwards within the contour, so that lips a little apart still look closed.
    """
    rotation, scale = openings.rotation, openings.scale
    px, py, pz = x - openings.translation[0], y - openings.translation[1], z - openings.translation[2]
    qx = (rotation[0, 0] * px + rotation[1, 0] * py + rotation[2, 0] * pz) / scale
    qy = (rotation[0, 1] * px + rotation[1, 1] * py + rotation[2, 1] * pz) / scale
    qz = (rotation[0, 2] * px + rotation[1, 2] * py + rotation[2, 2] * pz) / scale - openings.front - ARCH[1]
    dx, dy, dz = rotation[2, 0], rotation[2, 1], rotation[2, 2]
    a = (dx / ARCH[0]) ** 2 + (dz / ARCH[1]) ** 2
    b = qx * dx / ARCH[0] ** 2 + qz * dz / ARCH[1] ** 2
    c = (qx / ARCH[0]) ** 2 + (qz / ARCH[1]) ** 2 - 1
    root = b * b - a * c
    red, green, blue = 0.075, 0.018, 0.018  # the dark of the mouth
    if root > 0 and a > 0:
        reach = (-b - np.sqrt(root)) / a
        hx, hy, hz = qx + reach * dx, qy + reach * dy, qz + reach * dz
        angle = np.arctan2(hx / ARCH[0], -hz / ARCH[1])
        along = angle * 0.5 * (ARCH[0] + ARCH[1]) / TOOTH_WIDTH
        gap = abs(along - np.round(along))
        groove = 1 - 0.45 * smoothstep(0.07, 0.0, gap)
        depth = max(0.0, np.cos(angle)) ** 1.2
        upper_edge = openings.upper_edge - 0.10 * angle * angle - 0.10 * smoothstep(0.14, 0.0, gap)
        lower_edge = openings.lower_edge + 0.05 * angle * angle
        if hy < upper_edge:
            gum = smoothstep(upper_edge - TOOTH_HEIGHT + 0.1, upper_edge - TOOTH_HEIGHT - 0.1, hy + 0.18 * (0.5 - gap))
            value = groove * depth
            red = value * (0.80 - 0.42 * gum)
            green = value * (0.76 - 0.62 * gum)
            blue = value * (0.68 - 0.53 * gum)
        elif hy > lower_edge:
            value = 0.72 * groove * depth
            red, green, blue = value * 0.76, value * 0.71, value * 0.62
        else:
            tongue = smoothstep(1.0, 0.25, lower_edge - hy + 0.22 * hx * hx)
            red, green, blue = red + 0.26 * tongue, green + 0.075 * tongue, blue + 0.07 * tongue
    shadow = (0.35 + 0.65 * smoothstep(-0.02, 0.42, below_upper)) * (0.7 + 0.3 * smoothstep(-0.02, 0.2, above_lower))
    inside = smoothstep(LIP_EDGE[0], LIP_EDGE[1], below_upper) * smoothstep(LIP_EDGE[0], LIP_EDGE[1], above_lower)
    for channel in range(3):
        lit = 0.5 * (light.sky[channel] + light.ground[channel]) + 0.55 * light.key[channel]
        colour = (red, green, blue)[channel] * shadow
        out[channel] = lit * (0.55 * look.lips[channel] * (1 - inside) + colour * inside)


@njit(cache=True, error_model="numpy")
def _hair(strand, openness, nx, ny, nz, tx, ty, tz, look, light, out):
    """Kajiya-Kay: highlights across the strands, over wrapped diffuse light; `strand` is the strand's brightness."""
    ndl = nx * light.direction[0] + ny * light.direction[1] + nz * light.direction[2]
    hx, hy, hz = light.direction[0], light.direction[1], light.direction[2] - 1
    norm = np.sqrt(hx * hx + hy * hy + hz * hz)
    shift = 0.35 * (strand - 1)
    tdh = (tx * hx + ty * hy + tz * hz) / norm + shift
    sheen = max(0.0, 1 - tdh * tdh) ** 18 * max(0.0, 0.25 + ndl) * look.hair_gloss * strand
    for channel in range(3):
        lit = _lit(channel, ndl, 0.3, ny, openness, light)
        colour = look.hair[channel] * strand
        out[channel] = colour * lit + sheen * openness * light.key[channel] * (0.35 * look.hair[channel] + 0.10)


@njit(cache=True, error_model="numpy")
def _plain(albedo, gloss, openness, nx, ny, nz, light, out):
    ndl = nx * light.direction[0] + ny * light.direction[1] + nz * light.direction[2]
    shine = gloss * _highlight(nx, ny, nz, light, 5)
    for channel in range(3):
        out[channel] = albedo[channel] * _lit(channel, ndl, 0.1, ny, openness, light) + shine * light.key[channel]


@njit(cache=True, error_model="numpy", inline="always")
def _fragment(i, j, t, wa, wb, surface, look, light, openings, texel, out):
    """Colour of triangle `t` at sample (i, j), where its vertices have weights wa, wb, 1 - wa - wb."""
    normals, tangents, coords = surface.normals, surface.tangents, surface.coords
    a, b, c = surface.triangles[t, 0], surface.triangles[t, 1], surface.triangles[t, 2]
    wc = 1 - wa - wb
    nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
    ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
    nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
    length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
    nx, ny, nz = nx / length, ny / length, nz / length
    c0 = wa * coords[a, 0] + wb * coords[b, 0] + wc * coords[c, 0]
    c1 = wa * coords[a, 1] + wb * coords[b, 1] + wc * coords[c, 1]
    c2 = wa * coords[a, 2] + wb * coords[b, 2] + wc * coords[c, 2]
    c3 = wa * coords[a, 3] + wb * coords[b, 3] + wc * coords[c, 3]
    material = surface.material[t]
    if material == materials.FACE:
        bilinear(look.face, c0, c1, texel)
        _skin(texel, texel[3], 1.0, nx, ny, nz, light, out)
    elif material == materials.SKIN:
        _skin(look.skin, 0.12, c3, nx, ny, nz, light, out)
    elif material == materials.EYE_RIGHT or material == materials.EYE_LEFT:
        _eye(material - materials.EYE_RIGHT, j + 0.5, i + 0.5, c0, c1, c2, look, openings, light, out)
    elif material == materials.MOUTH:
        z = wa * surface.positions[a, 2] + wb * surface.positions[b, 2] + wc * surface.positions[c, 2]
        _mouth(j + 0.5, i + 0.5, z, c1, c2, look, openings, light, out)
    elif material == materials.HAIR:
        bilinear(look.strands, c0, c1, texel)
        tx = wa * tangents[a, 0] + wb * tangents[b, 0] + wc * tangents[c, 0]
        ty = wa * tangents[a, 1] + wb * tangents[b, 1] + wc * tangents[c, 1]
        tz = wa * tangents[a, 2] + wb * tangents[b, 2] + wc * tangents[c, 2]
        facing = -1.0 if nz > 0 else 1.0
        _hair(texel[0], c3, facing * nx, facing * ny, facing * nz, tx, ty, tz, look, light, out)
    elif material == materials.CLOTH:
        bilinear(look.cloth, c0, c1, texel)
        rib = 1 - 0.16 * smoothstep(0.55, 0.45, c2) - 0.25 * smoothstep(0.12, 0.0, c2)
        _plain(texel, 0.0, c3 * rib, nx, ny, nz, light, out)
    elif material == materials.FRAME:
        _plain(look.frame, 0.5, 1.0, nx, ny, nz, light, out)
    else:
        _plain(look.lash, 0.0, 1.0, nx, ny, nz, light, out)


@njit(cache=True, error_model="numpy")
def shade(
    visible: Int[np.ndarray, "N N"],
    weights: Float32[np.ndarray, "N N 2"],
    surface: Surface,
    look: Look,
    light: Light,
    openings: Openings,
    background: UInt8[np.ndarray, "M M 3"],
    tone: Float32[np.ndarray, "4096"],
) -> UInt8[np.ndarray, "M M 3"]:
    """Colours the samples and averages those of a pixel.

    Within a pixel a material is shaded once, at the first of its samples, and counts for all of them; eyes and mouth,
    whose detail is finer than a pixel, are shaded at every sample.

    Args:
        visible: the triangle at every sample, from `rasterise`.
        weights: the barycentric weights there.
        surface: the triangles.
        look: their materials.
        light: lamp and sky.
        openings: eyes and teeth of the frame.
        background: sRGB picture behind the person, M pixels a side; N is a multiple of M.
        tone: the table `TONE`.

    Returns:
        sRGB picture.
    """
    size = background.shape[0]
    factor = visible.shape[0] // size
    picture = np.empty_like(background)
    out = np.zeros(3, np.float32)
    texel = np.zeros(4, np.float32)
    total = np.zeros(3, np.float32)
    shaded = np.zeros((materials.NUM_MATERIALS, 3), np.float32)
    done = np.full(materials.NUM_MATERIALS, -1, np.int64)
    for row in range(size):
        for column in range(size):
            pixel = row * size + column
            total[:] = 0
            for sample in range(factor * factor):
                i, j = row * factor + sample // factor, column * factor + sample % factor
                t = visible[i, j]
                if t < 0:
                    for channel in range(3):
                        total[channel] += background[row, column, channel]
                    continue
                material = surface.material[t]
                fine = materials.EYE_RIGHT <= material <= materials.MOUTH
                if fine or done[material] != pixel:
                    _fragment(i, j, t, weights[i, j, 0], weights[i, j, 1], surface, look, light, openings, texel, out)
                    for channel in range(3):
                        shaded[material, channel] = tone[min(max(int(out[channel] * 1024), 0), 4095)]
                    done[material] = pixel
                for channel in range(3):
                    total[channel] += shaded[material, channel]
            for channel in range(3):
                picture[row, column, channel] = int(total[channel] / (factor * factor) + 0.5)
    return picture
