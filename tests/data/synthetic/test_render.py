"""Drawing a person from landmarks: the picture follows the landmarks, and nothing else changes."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from adiff_jax.data.synthetic import mesh
from adiff_jax.data.synthetic.motion import project, rotation_matrix, still
from adiff_jax.data.synthetic.people import HAIR_CUTS, sample_person
from adiff_jax.data.synthetic.raster import vertex_normals
from adiff_jax.data.synthetic.render import LABELS, head_pose, region_masks, render_frame
from adiff_jax.data.synthetic.shape import neutral_shape

SIZE = 64


def turned(person, yaw: float = 0.0, pitch: float = 0.0) -> np.ndarray:
    motion = dataclasses.replace(still(), rotation=rotation_matrix(np.array([[yaw, pitch, 0.0]])))
    return project(neutral_shape(person.shape), motion)[0]


def share(labels: np.ndarray, name: str) -> float:
    return float((labels == LABELS.index(name)).mean())


@pytest.fixture(scope="module")
def person():
    return dataclasses.replace(sample_person(3), glasses="none", cut="short", beard="none")


def test_pictures_are_reproducible(person) -> None:
    vertices = turned(person, 10)
    first = render_frame(person, vertices, SIZE)
    assert first.shape == (SIZE, SIZE, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, render_frame(person, vertices, SIZE))


def test_the_rigid_pose_is_found_again() -> None:
    rng = np.random.default_rng(0)
    neutral = neutral_shape(sample_person(1).shape)
    for _ in range(10):
        rotation = rotation_matrix(rng.uniform(-60, 60, (1, 3)))[0]
        translation, scale = rng.normal(size=3), rng.uniform(0.01, 2)
        pose = head_pose(neutral, scale * neutral @ rotation.T + translation)
        np.testing.assert_allclose(pose.rotation, rotation, atol=1e-4)  # float32 points
        np.testing.assert_allclose(pose.scale, scale, rtol=1e-4)
        np.testing.assert_allclose(pose.translation, translation, atol=1e-3)


def test_the_face_mesh_is_wound_to_face_the_camera() -> None:
    normals = vertex_normals(mesh.VERTICES[:468], mesh.TRIANGLES[:, ::-1].astype(np.int32))
    assert normals[mesh.NOSE_TIP, 2] < -0.9  # `render` reverses the mesh's triangles for the rasteriser


@pytest.mark.parametrize("cut", sorted(set(HAIR_CUTS) - {"long", "bob", "curly", "fringe"}))
def test_no_gap_opens_between_face_and_head(cut: str) -> None:
    person = dataclasses.replace(sample_person(5), cut=cut, glasses="none")
    for yaw in (-45, 0, 45):
        background = region_masks(person, turned(person, yaw, 8), 96) == LABELS.index("background")
        parts, _ = ndimage.label(background)
        outside = np.unique(np.concatenate([parts[0], parts[:, 0], parts[:, -1]]))
        assert np.isin(parts[background], outside).all()  # no background shines through the head


def test_a_blink_shuts_the_eyes_and_an_open_jaw_shows_the_mouth(person) -> None:
    neutral = neutral_shape(person.shape)
    closed = still().expression
    for upper, lower in ((mesh.RIGHT_UPPER_LID, mesh.RIGHT_LOWER_LID), (mesh.LEFT_UPPER_LID, mesh.LEFT_LOWER_LID)):
        closed[0, list(upper)] = neutral[list(lower)] - neutral[list(upper)]
    gaping = still().expression
    gaping[0, list(mesh.LOWER_LIP_INNER[1:-1]), 1] += 2.5

    def count(expression: np.ndarray, name: str) -> float:
        motion = dataclasses.replace(still(), expression=expression)
        return share(region_masks(person, project(neutral, motion)[0], 128), name)

    assert count(closed, "eyes") < 0.45 * count(still().expression, "eyes")  # what is left are lashes
    assert count(gaping, "mouth") > 0.004 + count(still().expression, "mouth")


def test_regions_have_their_colours() -> None:
    person = sample_person(11)
    person = dataclasses.replace(person, pattern="plain", backdrop="wall")
    vertices = turned(person)
    picture, labels = render_frame(person, vertices, 128).astype(float), region_masks(person, vertices, 128)
    for name, colour in (("clothes", person.clothes), ("background", person.background)):
        seen = picture[labels == LABELS.index(name)].mean(0)
        # Light changes how bright a colour is, hardly its hue: compare directions, not lengths.
        cosine = seen @ colour.rgb / np.linalg.norm(seen) / np.linalg.norm(colour.rgb)
        assert cosine > 0.97


def test_the_background_stays_while_the_head_moves(person) -> None:
    labels, pictures = [], []
    for yaw in (-15, 15):
        vertices = turned(person, yaw)
        labels.append(region_masks(person, vertices, SIZE))
        pictures.append(render_frame(person, vertices, SIZE).astype(int))
    both = (labels[0] == 0) & (labels[1] == 0)
    inner = both.copy()  # without the pixels at the head's border, which both mix
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        inner &= np.roll(both, step, axis)
    np.testing.assert_array_equal(pictures[0][inner], pictures[1][inner])


def test_sizes_show_the_same_scene(person) -> None:
    vertices = turned(person, -12)
    small, large = render_frame(person, vertices, 64), render_frame(person, vertices, 256)
    averaged = large.reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(averaged - small).mean() < 4  # of 255: edges and strands are sampled differently


def test_a_face_of_another_shape_can_be_drawn(person) -> None:
    other = turned(sample_person(8), 20)
    labels = region_masks(person, other, SIZE)
    assert share(labels, "face") > 0.1 and share(labels, "background") > 0.05


def test_every_region_occurs() -> None:
    person = dataclasses.replace(sample_person(2), glasses="round", cut="long", garment="t-shirt")
    vertices = turned(person)
    vertices[list(mesh.LOWER_LIP_INNER[1:-1]), 1] += 0.1
    labels = region_masks(person, vertices, 128)
    assert set(np.unique(labels)) == set(range(len(LABELS)))


@pytest.mark.parametrize(
    ("vertices", "message"),
    [
        (np.zeros((478, 2)), "shape"),
        (np.full((478, 3), np.nan), "finite"),
        (np.zeros((478, 3)), "coincide"),
    ],
)
def test_bad_vertices_are_refused(person, vertices: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_frame(person, vertices, SIZE)
