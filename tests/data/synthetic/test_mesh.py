"""The canonical mesh: symmetric, one sheet that faces the camera."""

import numpy as np
from scipy.spatial.transform import Rotation

from adiff_jax.data.synthetic import mesh
from adiff_jax.media import topology


def test_the_mirror_map_is_an_involution_that_keeps_the_mesh() -> None:
    assert np.array_equal(mesh.MIRROR[mesh.MIRROR], np.arange(mesh.NUM_LANDMARKS))
    np.testing.assert_allclose(mesh.VERTICES[mesh.MIRROR] * [-1, 1, 1], mesh.VERTICES, atol=1e-6)
    triangles = {frozenset(triangle) for triangle in mesh.TRIANGLES.tolist()}
    assert {frozenset(triangle) for triangle in mesh.MIRROR[mesh.TRIANGLES].tolist()} == triangles


def test_the_mirror_map_exchanges_the_named_regions_of_both_sides() -> None:
    for right, left in (
        (mesh.RIGHT_EYE, mesh.LEFT_EYE),
        (mesh.RIGHT_BROW, mesh.LEFT_BROW),
        (mesh.RIGHT_UPPER_LID, mesh.LEFT_UPPER_LID),
        (mesh.RIGHT_LOWER_LID, mesh.LEFT_LOWER_LID),
    ):
        assert tuple(mesh.MIRROR[list(right)]) == left
        assert (mesh.VERTICES[list(right), 0] < 0).all()
    assert set(mesh.MIRROR[list(mesh.RIGHT_IRIS)]) == set(mesh.LEFT_IRIS)
    for region in (mesh.FACE_OVAL, mesh.LIPS_OUTER, mesh.LIPS_INNER, mesh.NOSE, topology.STABLE):
        assert set(mesh.MIRROR[list(region)]) == set(region)
        assert len(set(region)) == len(region)


def test_the_surface_is_one_sheet_whose_border_is_the_face_oval() -> None:
    edges = np.sort(mesh.TRIANGLES[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, counts = np.unique(edges, axis=0, return_counts=True)
    assert set(counts) == {1, 2}
    oval = {frozenset(edge) for edge in zip(mesh.FACE_OVAL, np.roll(mesh.FACE_OVAL, -1).tolist(), strict=True)}
    assert {frozenset(edge) for edge in edges[counts == 1].tolist()} == oval
    assert mesh.NUM_SURFACE - len(edges) + len(mesh.TRIANGLES) == 1  # Euler: a disc


def test_openings_are_filled_by_the_triangles_of_their_contours() -> None:
    assert len(mesh.MOUTH_TRIANGLES) == len(mesh.LIPS_INNER) - 2
    assert len(mesh.EYE_TRIANGLES) == 2 * (len(mesh.RIGHT_EYE) - 2)


def test_the_frame_is_y_down_and_z_away_from_the_camera() -> None:
    vertices = mesh.VERTICES
    assert vertices[mesh.FOREHEAD, 1] < vertices[mesh.NOSE_TIP, 1] < vertices[mesh.CHIN, 1]
    assert vertices[mesh.NOSE_TIP, 2] < vertices[234, 2]
    right, top, left, bottom = vertices[list(mesh.RIGHT_IRIS[1:])] - vertices[mesh.RIGHT_IRIS[0]]
    assert right[0] > 0 > left[0] and bottom[1] > 0 > top[1]


def test_normals_are_unit_point_outwards_and_turn_with_the_head() -> None:
    rng = np.random.default_rng(0)
    normals = mesh.vertex_normals(mesh.VERTICES)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, rtol=1e-5)
    outwards = (normals * (mesh.VERTICES - [0, 0, 0])).sum(axis=-1)
    assert (outwards > 0).mean() > 0.95  # all but creases
    assert (normals[[*mesh.NOSE_RIDGE, *mesh.RIGHT_IRIS, *mesh.LEFT_IRIS], 2] < -0.5).all()
    rotations = Rotation.random(3, rng=rng).as_matrix()
    turned = mesh.vertex_normals(mesh.VERTICES @ np.swapaxes(rotations, 1, 2))
    np.testing.assert_allclose(turned, normals @ np.swapaxes(rotations, 1, 2), atol=1e-5)
