"""A z-buffered software rasteriser: triangles in, the visible triangle and its barycentric coordinates out.

Compiled by numba without fast-math and run on one thread, so the same input gives the same bits. Rasterising is kept
apart from shading (`shading.py`): a sample is shaded once, after all triangles are drawn.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int
from numba import njit

from adiff_jax.data.synthetic import materials

CUTS = (0.05, 0.95)
"""The least and the most cover below which a strand of hair can be cut: the range of the hair texture's 2nd channel."""


class Surface(NamedTuple):
    """Triangles of a scene.

    Attributes:
        positions: x and y in samples (x right, y down), z in the same unit, smaller is nearer.
        normals: unit normals, away from the body.
        tangents: unit direction of the strands; zero where the material is not hair.
        coords: four numbers whose meaning depends on the material (`materials.py`).
        triangles: vertices of each triangle.
        material: material of each triangle.
    """

    positions: Float32[np.ndarray, "V 3"]
    normals: Float32[np.ndarray, "V 3"]
    tangents: Float32[np.ndarray, "V 3"]
    coords: Float32[np.ndarray, "V 4"]
    triangles: Int[np.ndarray, "T 3"]
    material: Int[np.ndarray, "T"]


@njit(cache=True, error_model="numpy")
def vertex_normals(positions: Float[np.ndarray, "V 3"], triangles: Int[np.ndarray, "T 3"]) -> Float[np.ndarray, "V 3"]:
    """Unit normals of the vertices: the area-weighted mean over the triangles around each.

    They point to the side from which the triangle appears clockwise (x right, y down, z into the picture).
    """
    normals = np.zeros_like(positions)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = positions[a, 0], positions[a, 1], positions[a, 2]
        ux, uy, uz = positions[b, 0] - ax, positions[b, 1] - ay, positions[b, 2] - az
        vx, vy, vz = positions[c, 0] - ax, positions[c, 1] - ay, positions[c, 2] - az
        # For a clockwise triangle that faces the camera (z into the picture) u x v points away from it.
        nx, ny, nz = vy * uz - vz * uy, vz * ux - vx * uz, vx * uy - vy * ux
        for corner in (a, b, c):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for v in range(len(normals)):
        length = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2)
        if length > 0:
            normals[v] /= length
    return normals


@njit(cache=True, error_model="numpy")
def texel(texture: Float32[np.ndarray, "H W C"], u: float, v: float, channel: int) -> float:
    """One channel of the nearest texel; the texture repeats outside u, v in [0, 1)."""
    height, width = texture.shape[:2]
    return texture[int(np.floor(v * height)) % height, int(np.floor(u * width)) % width, channel]


@njit(cache=True, error_model="numpy")
def bilinear(texture: Float32[np.ndarray, "H W C"], u: float, v: float, out: Float32[np.ndarray, "C"]) -> None:
    """Interpolates all channels between the four nearest texels into `out`; the texture repeats."""
    height, width, channels = texture.shape
    x, y = u * width - 0.5, v * height - 0.5
    left, top = int(np.floor(x)), int(np.floor(y))
    wx, wy = x - left, y - top
    left, top = left % width, top % height
    right, bottom = left + 1 if left + 1 < width else 0, top + 1 if top + 1 < height else 0
    for c in range(channels):
        above = texture[top, left, c] + wx * (texture[top, right, c] - texture[top, left, c])
        below = texture[bottom, left, c] + wx * (texture[bottom, right, c] - texture[bottom, left, c])
        out[c] = above + wy * (below - above)


@njit(cache=True, error_model="numpy")
def _is_cut(material, coords, a, b, c, wa, wb, wc, strands):
    """Hair and cloth end within their triangles: hair frays along its strands, cloth stops at the neckline."""
    edge = wa * coords[a, 2] + wb * coords[b, 2] + wc * coords[c, 2]
    if material == materials.CLOTH:
        return edge < 0
    u = wa * coords[a, 0] + wb * coords[b, 0] + wc * coords[c, 0]
    v = wa * coords[a, 1] + wb * coords[b, 1] + wc * coords[c, 1]
    return edge < texel(strands, u, v, 1)


@njit(cache=True, error_model="numpy")
def rasterise(
    surface: Surface, strands: Float32[np.ndarray, "H W 2"], size: int
) -> tuple[Int[np.ndarray, "N N"], Float32[np.ndarray, "N N 2"]]:
    """Finds the nearest triangle at every sample.

    Args:
        surface: the triangles. Skin is closed, so triangles of `FACE` and `SKIN` that face away (anticlockwise in the
            picture) are skipped; of the others both sides are drawn.
        strands: hair texture; its second channel, in the range `CUTS`, says where a strand ends.
        size: samples along each side, N.

    Returns:
        The visible triangle (-1 for none), and the barycentric weights of its first and second vertices.
    """
    visible = np.full((size, size), -1, np.int32)
    weights = np.zeros((size, size, 2), np.float32)
    depth = np.full((size, size), np.inf, np.float32)
    positions, coords = surface.positions, surface.coords
    for t in range(len(surface.triangles)):
        a, b, c = surface.triangles[t, 0], surface.triangles[t, 1], surface.triangles[t, 2]
        ax, ay, az = positions[a, 0], positions[a, 1], positions[a, 2]
        bx, by, bz = positions[b, 0], positions[b, 1], positions[b, 2]
        cx, cy, cz = positions[c, 0], positions[c, 1], positions[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        material = surface.material[t]
        if area == 0 or (area < 0 and (material == materials.FACE or material == materials.SKIN)):
            continue
        cut = material == materials.HAIR or material == materials.CLOTH
        if cut:  # most triangles are drawn or left out as a whole
            lowest, highest = CUTS if material == materials.HAIR else (0.0, 0.0)
            edges = (coords[a, 2], coords[b, 2], coords[c, 2])
            if max(edges) < lowest:
                continue
            cut = min(edges) < highest
        left = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        right = min(size - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        top = max(0, int(np.ceil(min(ay, by, cy) - 0.5)))
        bottom = min(size - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        step_a, step_b = (by - cy) / area, (cy - ay) / area
        for row in range(top, bottom + 1):
            y = row + 0.5
            x = left + 0.5
            wa = ((cx - bx) * (y - by) - (cy - by) * (x - bx)) / area
            wb = ((ax - cx) * (y - cy) - (ay - cy) * (x - cx)) / area
            for column in range(left, right + 1):
                wc = 1 - wa - wb
                if wa >= 0 and wb >= 0 and wc >= 0:
                    z = wa * az + wb * bz + wc * cz
                    if z < depth[row, column] and not (cut and _is_cut(material, coords, a, b, c, wa, wb, wc, strands)):
                        depth[row, column] = z
                        visible[row, column] = t
                        weights[row, column, 0] = wa
                        weights[row, column, 1] = wb
                wa += step_a
                wb += step_b
    return visible, weights
