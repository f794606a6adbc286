"""The rasteriser, on triangles whose samples can be counted by hand."""

import numpy as np
import pytest

from adiff_jax.data.synthetic import materials
from adiff_jax.data.synthetic.raster import Surface, bilinear, rasterise, texel, vertex_normals

STRANDS = np.full((4, 4, 2), 0.5, np.float32)


def surface(positions, triangles, material, coords=None) -> Surface:
    positions = np.asarray(positions, np.float32)
    zeros = np.zeros_like(positions)
    coords = np.zeros((len(positions), 4), np.float32) if coords is None else np.asarray(coords, np.float32)
    material = np.broadcast_to(np.asarray(material, np.int32), len(triangles)).copy()
    return Surface(positions, zeros, zeros, coords, np.asarray(triangles, np.int32), material)


def test_a_triangle_covers_the_samples_whose_centres_it_holds() -> None:
    half = surface([[0, 0, 1], [8, 0, 1], [0, 8, 1]], [[0, 1, 2]], materials.LASH)
    visible, _ = rasterise(half, STRANDS, 8)
    row, column = np.mgrid[:8, :8] + 0.5
    np.testing.assert_array_equal(visible == 0, row + column <= 8)


def test_the_two_halves_of_a_square_leave_no_gap() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        centre, angle = rng.uniform(14, 18, 2), rng.uniform(0, 2 * np.pi) + np.arange(4) * np.pi / 2
        corners = centre + 12 * np.stack([np.cos(angle), np.sin(angle)], -1)
        square = surface(np.c_[corners, np.zeros(4)], [[0, 1, 2], [0, 2, 3]], materials.LASH)
        visible, _ = rasterise(square, STRANDS, 32)
        row, column = np.mgrid[:32, :32] + 0.5
        offset = np.stack([column, row], -1) - centre
        axes = np.stack([np.cos(angle[:2] + np.pi / 4), np.sin(angle[:2] + np.pi / 4)])
        inside = (np.abs(offset @ axes) < 12 / np.sqrt(2) - 1e-3).all(-1)
        assert (visible[inside] >= 0).all()


def test_the_nearest_triangle_wins_in_any_order() -> None:
    corners = [[0, 0], [16, 0], [0, 16]]
    points = [[*corner, z] for z in (5, 2, 9) for corner in corners]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        triangles = np.arange(9).reshape(3, 3)[order]
        visible, _ = rasterise(surface(points, triangles, materials.LASH), STRANDS, 16)
        assert set(visible[visible >= 0]) == {order.index(1)}


def test_weights_interpolate_positions() -> None:
    rng = np.random.default_rng(1)
    points = np.c_[rng.uniform(-4, 24, (3, 2)), rng.uniform(0, 5, 3)].astype(np.float32)
    visible, weights = rasterise(surface(points, [[0, 1, 2]], materials.LASH), STRANDS, 20)
    row, column = np.nonzero(visible == 0)
    w = weights[row, column]
    found = np.c_[w, 1 - w.sum(1)] @ points[:, :2]
    np.testing.assert_allclose(found, np.stack([column, row], -1) + 0.5, atol=1e-3)  # float32 weights over 20 samples


def test_skin_that_faces_away_is_skipped() -> None:
    points = [[0, 0, 0], [8, 0, 0], [0, 8, 0]]
    for material, seen in ((materials.FACE, False), (materials.SKIN, False), (materials.HAIR, True)):
        away = surface(points, [[0, 2, 1]], material, [[0, 0, 1, 0]] * 3)
        assert (rasterise(away, STRANDS, 8)[0] >= 0).any() == seen


@pytest.mark.parametrize(("material", "limit"), [(materials.HAIR, 0.5), (materials.CLOTH, 0.0)])
def test_hair_and_cloth_end_where_their_cover_does(material: int, limit: float) -> None:
    edge = [[0, 0, -1, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, -1, 0]]
    square = surface([[0, 0, 0], [16, 0, 0], [16, 16, 0], [0, 16, 0]], [[0, 1, 2], [0, 2, 3]], material, edge)
    visible, _ = rasterise(square, STRANDS, 16)
    cover = np.broadcast_to((np.arange(16) + 0.5) / 8 - 1, (16, 16))
    np.testing.assert_array_equal(visible >= 0, cover >= limit)


def test_normals_of_a_flat_patch_face_the_camera() -> None:
    patch = np.array([[0, 0, 3], [1, 0, 3], [1, 1, 3], [0, 1, 3]], np.float32)
    normals = vertex_normals(patch, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    np.testing.assert_allclose(normals, np.tile([0, 0, -1], (4, 1)), atol=1e-6)


def test_textures_repeat_and_interpolate() -> None:
    texture = np.random.default_rng(2).uniform(size=(4, 8, 2)).astype(np.float32)
    out = np.zeros(2, np.float32)
    for row in range(4):
        for column in range(8):
            u, v = (column + 0.5) / 8, (row + 0.5) / 4
            assert texel(texture, u + 1, v - 2, 1) == texture[row, column, 1]
            bilinear(texture, u - 1, v + 1, out)
            np.testing.assert_allclose(out, texture[row, column], atol=1e-6)
    bilinear(texture, 0.0, 0.5 / 4, out)  # half way between the last and the first column
    np.testing.assert_allclose(out, 0.5 * (texture[0, 0] + texture[0, 7]), atol=1e-6)
