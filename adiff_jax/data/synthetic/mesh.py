"""The canonical face mesh: the 478 landmarks of MediaPipe as a surface, and the names of its regions.

The mesh is MediaPipe's canonical face (Copyright Google, Apache-2.0), read out of the geometry metadata of the
FaceLandmarker model by `fit.py` and shipped as `canonical_mesh.safetensors`. It has 468 vertices; the ten iris points
that the landmark model adds (468-472 right, 473-477 left) are placed here.

Frame: centimetres, x to the right in the picture, y *down*, z *into* the picture, so a smaller z is closer to the
camera (MediaPipe's sign). The origin lies within the head. Right and left are the person's own, so the right eye has
negative x.
"""

from importlib.resources import files

import numpy as np
import safetensors.numpy
from jaxtyping import Float, Int

from adiff_jax.media.topology import LEFT_EYE as _LEFT
from adiff_jax.media.topology import LOWER_LIP, UPPER_LIP
from adiff_jax.media.topology import RIGHT_EYE as _RIGHT
from adiff_jax.media.topology import STABLE as STABLE

NUM_SURFACE = 468
NUM_LANDMARKS = 478
IRIS_RADIUS = 0.6  # cm


def _ring(right: int, below: tuple[int, ...], left: int, above: tuple[int, ...]) -> tuple[int, ...]:
    """A closed contour from two lines between the same two corners."""
    return (right, *below, left, *above[::-1])


# Closed contours, in order around the contour.
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
LIPS_OUTER = _ring(61, LOWER_LIP[-1], 291, UPPER_LIP[-1])
LIPS_INNER = _ring(78, LOWER_LIP[0], 308, UPPER_LIP[0])
RIGHT_EYE = _ring(33, _RIGHT.lower, 133, _RIGHT.upper)
LEFT_EYE = _ring(263, _LEFT.lower, 362, _LEFT.upper)
RIGHT_BROW = (46, 53, 52, 65, 55, 107, 66, 105, 63, 70)
LEFT_BROW = (276, 283, 282, 295, 285, 336, 296, 334, 293, 300)

# Open lines. Lids run from the outer to the inner corner, both corners included; the i-th points of the upper and the
# lower lid lie opposite each other. The lines of the lips run from the right to the left corner.
RIGHT_UPPER_LID, RIGHT_LOWER_LID = ((33, *lid, 133) for lid in (_RIGHT.upper, _RIGHT.lower))
LEFT_UPPER_LID, LEFT_LOWER_LID = ((263, *lid, 362) for lid in (_LEFT.upper, _LEFT.lower))
LID_PAIRS = ((_RIGHT.upper, _RIGHT.lower), (_LEFT.upper, _LEFT.lower))
"""Right and left: the points of the upper and of the lower lid without the corners, opposite each other."""
UPPER_LIP_INNER, LOWER_LIP_INNER = ((78, *lip, 308) for lip in (UPPER_LIP[0], LOWER_LIP[0]))
NOSE_RIDGE = (168, 6, 197, 195, 5, 4, 1)
NOSE_BASE = (98, 97, 2, 326, 327)
NOSE = NOSE_RIDGE + NOSE_BASE + (19, 94, 45, 275, 48, 278, 64, 294, 115, 344, 220, 440)
JAW_LINE = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)

# Irises: the centre, then the rim at the picture's right, top, left and bottom.
RIGHT_IRIS, LEFT_IRIS = _RIGHT.iris, _LEFT.iris

CHIN, FOREHEAD, NOSE_TIP = 152, 10, 1


def _with_irises(surface: Float[np.ndarray, "468 3"]) -> Float[np.ndarray, "478 3"]:
    """Adds the ten iris points: discs facing the camera in the middle of the eye contours."""
    rim = IRIS_RADIUS * np.array([[0, 0, 0], [1, 0, 0], [0, -1, 0], [-1, 0, 0], [0, 1, 0]], np.float32)
    irises = [surface[list(eye)].mean(axis=0) + rim for eye in (RIGHT_EYE, LEFT_EYE)]
    return np.concatenate([surface, *irises]).astype(np.float32)


def _mirror_map(vertices: Float[np.ndarray, "478 3"]) -> Int[np.ndarray, "478"]:
    """For each point the one at its mirror image; the canonical mesh is exactly symmetric."""
    mirrored = vertices * np.array([-1, 1, 1], np.float32)
    return np.linalg.norm(mirrored[:, None] - vertices[None], axis=-1).argmin(axis=1)


def _incident_triangles(triangles: Int[np.ndarray, "T 3"]) -> Int[np.ndarray, "468 M"]:
    """The triangles around each vertex, padded by the number of triangles (one past the last)."""
    incident: list[list[int]] = [[] for _ in range(NUM_SURFACE)]
    for index, triangle in enumerate(triangles):
        for vertex in triangle:
            incident[vertex].append(index)
    most = max(map(len, incident))
    return np.array([row + [len(triangles)] * (most - len(row)) for row in incident])


def _within(contour: tuple[int, ...]) -> np.ndarray:
    return np.isin(TRIANGLES, contour).all(axis=1)


_STORED = safetensors.numpy.load(files(__package__).joinpath("canonical_mesh.safetensors").read_bytes())

VERTICES: Float[np.ndarray, "478 3"] = _with_irises(_STORED["vertices"])
"""The canonical face, cm."""

UV: Float[np.ndarray, "468 2"] = _STORED["uv"]
"""Texture coordinates in [0, 1], u to the right, v down, of the surface vertices."""

TRIANGLES: Int[np.ndarray, "898 3"] = _STORED["triangles"].astype(np.int64)
"""Vertices of each triangle, anticlockwise as the camera sees a triangle that faces it. One sheet: eyes and mouth are
closed by `EYE_TRIANGLES` and `MOUTH_TRIANGLES`."""

MIRROR: Int[np.ndarray, "478"] = _mirror_map(VERTICES)
"""`points[MIRROR] * (-1, 1, 1)` is the mirror image of `points`, in the same landmark order."""

MOUTH_TRIANGLES = np.flatnonzero(_within(LIPS_INNER))
"""Indices of the triangles that span the opening of the mouth."""

EYE_TRIANGLES = np.flatnonzero(_within(RIGHT_EYE) | _within(LEFT_EYE))
"""Indices of the triangles that span the openings of the eyes."""

_INCIDENT = _incident_triangles(TRIANGLES)


def vertex_normals(vertices: Float[np.ndarray, "*F 478 3"]) -> Float[np.ndarray, "*F 478 3"]:
    """Unit normals, outwards from the head (towards the camera where the surface faces it).

    A surface vertex averages the normals of its triangles, weighted by their areas; iris points take the mean normal of
    their eye's contour.
    """
    a, b, c = (vertices[..., TRIANGLES[:, corner], :] for corner in range(3))
    areas = np.cross(b - a, c - a)
    areas = np.concatenate([areas, np.zeros_like(areas[..., :1, :])], axis=-2)
    normals = areas[..., _INCIDENT, :].sum(axis=-2)
    irises = [normals[..., list(eye), :].mean(axis=-2, keepdims=True) for eye in (RIGHT_EYE, LEFT_EYE)]
    normals = np.concatenate([normals, *(np.repeat(iris, 5, axis=-2) for iris in irises)], axis=-2)
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
