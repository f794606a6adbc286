"""The surfaces within the contours of eyes and mouth, drawn from a frame's landmarks: nothing of them is kept.

Each opening is a grid of straight threads from a point of the upper to the opposite point of the lower contour, so it
closes the hole in the face mesh exactly, however far it is open.
"""

import numpy as np
from jaxtyping import Float, Float32, Int

from adiff_jax.data.synthetic import mesh

ROWS = 5
LIDS = (
    (mesh.RIGHT_UPPER_LID, mesh.RIGHT_LOWER_LID, mesh.RIGHT_IRIS),
    (mesh.LEFT_UPPER_LID, mesh.LEFT_LOWER_LID, mesh.LEFT_IRIS),
)
LIPS = (mesh.UPPER_LIP_INNER, mesh.LOWER_LIP_INNER)
OPEN_EYE = 0.75  # cm from lid to lid at which lashes point up
MIN_IRIS = 0.35  # cm, least half axis of a drawn iris


def opening(
    vertices: Float[np.ndarray, "478 3"], upper: tuple[int, ...], lower: tuple[int, ...], scale: float
) -> tuple[Float32[np.ndarray, "V 3"], Float32[np.ndarray, "V 4"]]:
    """Points and coords (`materials.EYE_RIGHT`, `materials.MOUTH`) between two contours, row by row.

    Args:
        vertices: of the frame, in samples.
        upper: landmarks of the upper contour.
        lower: those of the lower one, opposite points at equal places.
        scale: samples per cm.
    """
    a, b = vertices[list(upper)], vertices[list(lower)]
    s = np.linspace(0, 1, ROWS, dtype=np.float32)[:, None]
    points = a + s[..., None] * (b - a)
    height = np.linalg.norm(b - a, axis=-1) / scale
    coords = np.zeros((ROWS, len(upper), 4), np.float32)
    coords[..., 0] = np.linspace(0, 1, len(upper))
    coords[..., 1] = s * height
    coords[..., 2] = (1 - s) * height
    return points.reshape(-1, 3), coords.reshape(-1, 4)


def lashes(
    vertices: Float[np.ndarray, "478 3"], side: int, rotation: Float[np.ndarray, "3 3"], scale: float, length: float
) -> Float32[np.ndarray, "V 3"]:
    """Two rows of points, roots and tips of the upper lashes; they turn down with the closing lid.

    Args:
        vertices: of the frame, in samples.
        side: 0 for the right eye, 1 for the left.
        rotation: of the head.
        scale: samples per cm.
        length: of the longest lashes, cm.
    """
    upper, lower, _ = LIDS[side]
    roots = vertices[list(upper)]
    gap = np.linalg.norm(roots - vertices[list(lower)], axis=-1).max() / scale
    down = 1 - 1.4 * min(1.0, gap / OPEN_EYE)
    outwards = (-0.5, 0.5)[side]
    profile = np.array([0.75, 1.0, 1.0, 0.95, 0.9, 0.85, 0.7, 0.45, 0.0])[:, None]
    tips = roots + scale * length * profile * (rotation @ np.array([outwards, down, -0.5]))
    nearer = scale * 0.04 * (rotation @ np.array([0, 0, -1.0]))
    inside = roots + scale * 0.09 * (rotation @ np.array([0, 1.0, 0]))
    return np.concatenate([inside + nearer, tips + nearer]).astype(np.float32)


def iris_frames(
    vertices: Float[np.ndarray, "478 3"], scale: float
) -> tuple[Float32[np.ndarray, "2 2"], Float32[np.ndarray, "2 2 2"]]:
    """Centres of right and left iris, and the maps from picture offsets to their unit discs."""
    centres, inverses = [], []
    for _, _, (middle, right, top, left, bottom) in LIDS:
        across = 0.5 * (vertices[right, :2] - vertices[left, :2])
        down = 0.5 * (vertices[bottom, :2] - vertices[top, :2])
        u, s, vt = np.linalg.svd(np.stack([across, down], axis=1))
        inverses.append(np.linalg.inv((u * np.maximum(s, MIN_IRIS * scale)) @ vt))
        centres.append(vertices[middle, :2])
    return np.array(centres, np.float32), np.array(inverses, np.float32)


def thread_triangles(columns: int, rows: int = ROWS) -> Int[np.ndarray, "T 3"]:
    """Triangles over `rows` x `columns` points in row-major order."""
    r, c = np.mgrid[: rows - 1, : columns - 1]
    a = r * columns + c
    quads = np.stack([a, a + 1, a + columns + 1, a, a + columns + 1, a + columns], axis=-1)
    return quads.reshape(-1, 3)
