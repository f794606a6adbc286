"""Faces in the basis: standardised, the same wherever they lie, and nothing of an expression lost."""

import jax
import jax.numpy as jnp
import numpy as np

from adiff_jax.data.source import SyntheticSource
from adiff_jax.models.face_basis import NUM_COMPONENTS, face_coordinates, local_coordinates, read_basis, relief
from adiff_jax.models.fit_face_basis import fit_basis, read_landmarks

PLACE = 3


def faces(clips: int = 200, seed: int = 0) -> np.ndarray:
    """Faces that the basis was not fitted to."""
    return read_landmarks(SyntheticSource(clips, seed, num_frames=16, fps=5.0))


def test_people_and_motions_that_were_not_fitted_are_standardised() -> None:
    coordinates = np.asarray(face_coordinates(faces()[None])[0])
    assert coordinates.shape[1] == PLACE + NUM_COMPONENTS
    # 200 people: means within a few of the standard errors of 0.07, deviations likewise.
    assert np.abs(coordinates.mean(axis=0)).max() < 0.4
    assert 0.6 < coordinates.std(axis=0).min() < coordinates.std(axis=0).max() < 1.5


def test_shape_is_apart_from_place_and_size() -> None:
    rng = np.random.default_rng(1)
    landmarks = faces(4)[None]
    moved = landmarks * rng.uniform(0.8, 1.2) + rng.uniform(-0.2, 0.2, 2).astype(np.float32)
    before, after = face_coordinates(landmarks), face_coordinates(moved)
    # The least radius that keeps zeros finite is felt in the last digits.
    np.testing.assert_allclose(after[..., PLACE:], before[..., PLACE:], atol=5e-3)
    assert (jnp.abs(after - before)[..., :PLACE] > 0.01).all()


def test_places_among_neighbours_are_standardised_and_apart_from_place_and_size() -> None:
    landmarks = faces()[None]
    local = np.asarray(local_coordinates(landmarks)[0])
    assert np.abs(local.mean(axis=0)).mean() < 0.1  # a standard error is 0.07
    assert 0.8 < local.std(axis=0).mean() < 1.2
    again = local_coordinates(0.9 * landmarks + np.float32([0.1, -0.2]))[0]
    np.testing.assert_allclose(again, local, atol=2e-2)  # the least radius, and float32 over deviations of a hundredth


def test_relief_is_what_differs_from_the_neighbours_mean() -> None:
    neighbours, heights = read_basis()["neighbours"], np.random.default_rng(2).standard_normal(478)
    np.testing.assert_allclose(relief(neighbours) @ heights, heights - heights[neighbours].mean(axis=1), atol=1e-6)


def test_a_fitted_basis_whitens_its_own_faces() -> None:
    landmarks = faces()
    basis = fit_basis(landmarks)
    offset = landmarks - landmarks.mean(axis=1, keepdims=True)
    shapes = offset / np.sqrt(np.square(offset).sum(-1).mean(-1))[:, None, None] - basis["shape_mean"]
    coordinates = np.einsum("fkx,kxm->fm", shapes, basis["shape_basis"])
    # Components are uncorrelated and of variance 1 by definition; float32.
    np.testing.assert_allclose(np.cov(coordinates.T, bias=True), np.eye(NUM_COMPONENTS), atol=1e-2)
    # In the basis nearly all of the shapes' variance is kept: least squares from the coordinates back.
    flat = shapes.reshape(len(shapes), -1)
    left = flat - coordinates @ np.linalg.lstsq(coordinates, flat, rcond=None)[0]
    assert np.square(left).sum() < 0.01 * np.square(flat).sum()


def test_landmarks_that_are_not_given_stay_finite() -> None:
    zeros = jnp.zeros((1, 1, 478, 2))
    assert jnp.isfinite(face_coordinates(zeros)).all()
    assert jnp.isfinite(jax.grad(lambda landmarks: face_coordinates(landmarks).sum())(zeros)).all()
