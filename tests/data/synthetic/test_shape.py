"""Identities: a linear, symmetric family around the mean face, each mode visible, nothing folded over."""

import dataclasses

import numpy as np
import pytest

from adiff_jax.data.synthetic import mesh
from adiff_jax.data.synthetic.motion import eye_openings
from adiff_jax.data.synthetic.shape import MEAN_FACE, FaceShape, neutral_shape

FIELDS = [field.name for field in dataclasses.fields(FaceShape)]


def mirrored(face: np.ndarray) -> np.ndarray:
    return face[mesh.MIRROR] * np.array([-1, 1, 1], np.float32)


def test_the_average_shape_is_the_mean_face_which_is_symmetric() -> None:
    np.testing.assert_array_equal(neutral_shape(FaceShape()), MEAN_FACE)
    np.testing.assert_allclose(mirrored(MEAN_FACE), MEAN_FACE, atol=1e-5)


@pytest.mark.parametrize("name", FIELDS)
def test_every_mode_changes_the_face_by_a_believable_amount(name: str) -> None:
    change = np.linalg.norm(neutral_shape(FaceShape(**{name: 1.0})) - MEAN_FACE, axis=1)
    assert 0.03 < change.max() < 1.0  # cm
    opposite = neutral_shape(FaceShape(**{name: -1.0}))
    np.testing.assert_allclose(opposite - MEAN_FACE, MEAN_FACE - neutral_shape(FaceShape(**{name: 1.0})), atol=1e-5)


@pytest.mark.parametrize("name", [name for name in FIELDS if "asymmetry" not in name])
def test_modes_are_symmetric_but_for_those_that_say_so(name: str) -> None:
    face = neutral_shape(FaceShape(**{name: 2.0}))
    np.testing.assert_allclose(mirrored(face), face, atol=2e-3)  # the float32 mean face decides the bumps' centres


def test_samples_are_deterministic_and_differ() -> None:
    people = [FaceShape.sample(np.random.default_rng(seed)) for seed in range(4)]
    assert people == [FaceShape.sample(np.random.default_rng(seed)) for seed in range(4)]
    assert len(set(people)) == 4
    assert all(abs(value) <= 2.5 for person in people for value in dataclasses.astuple(person))


@pytest.mark.parametrize("seed", range(30))
def test_sampled_faces_have_eyes_open_and_the_surface_right_side_out(seed: int) -> None:
    face = neutral_shape(FaceShape.sample(np.random.default_rng(seed)))
    assert (eye_openings(face) > 0.4).all()
    radii = np.linalg.norm(face[list(mesh.RIGHT_IRIS[1:])] - face[mesh.RIGHT_IRIS[0]], axis=1)
    mean_radii = np.linalg.norm(MEAN_FACE[list(mesh.RIGHT_IRIS[1:])] - MEAN_FACE[mesh.RIGHT_IRIS[0]], axis=1)
    np.testing.assert_allclose(radii, mean_radii, rtol=1e-4)  # irises are all of one size
    a, b, c = (face[mesh.TRIANGLES[:, corner]] for corner in range(3))
    facing = np.cross(b - a, c - a)[:, 2] < 0
    assert facing.mean() > 0.95  # from the front; under nose and chin some look away
