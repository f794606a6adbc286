"""Weight maps on simple faces, the weighted error, and Min-SNR identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.diffusion.losses import (
    LEFT_EYE,
    LIPS,
    RIGHT_EYE,
    RegionWeights,
    landmark_weights,
    min_snr_weight,
    weighted_mse,
)
from adiff_jax.diffusion.process import DiffusionConfig, Process

EYE_Y, EYE_X, MOUTH_Y = -0.2, 0.25, 0.3


def ellipse(centre, radii, count):
    angle = np.arange(count) * 2 * np.pi / count
    return np.asarray(centre) + np.asarray(radii) * np.stack([np.cos(angle), np.sin(angle)], -1)


@pytest.fixture
def face():
    """A face of radius 0.6 around the centre of the crop, its eyes and mouth at known places."""
    points = 0.6 * ellipse((0, 0), (1, 1), 478)
    points[list(RIGHT_EYE)] = ellipse((-EYE_X, EYE_Y), (0.12, 0.05), 16)
    points[list(LEFT_EYE)] = ellipse((EYE_X, EYE_Y), (0.12, 0.05), 16)
    points[list(LIPS)] = ellipse((0, MOUTH_Y), (0.2, 0.08), 20)
    return jnp.asarray(points, jnp.float32)


def cell(x, y, size):
    """Row and column of the cell at a point of the crop."""
    return int((y + 1) / 2 * size), int((x + 1) / 2 * size)


@pytest.mark.parametrize("size", [16, 32, 128])
def test_outside_face_and_features_are_ordered_with_the_given_ratios(face, size):
    weights = landmark_weights(face, (size, size), RegionWeights(face=2.0, features=5.0))
    outside = weights[0, 0]
    assert weights[cell(0, 0, size)] / outside == pytest.approx(2, rel=1e-5)
    for x, y in ((-EYE_X, EYE_Y), (EYE_X, EYE_Y), (0, MOUTH_Y)):
        assert weights[cell(x, y, size)] / outside == pytest.approx(5, rel=1e-5)
    assert weights.min() == outside
    assert weights.max() / outside <= 5 + 1e-5


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (24, 32)])
def test_mean_is_one_for_any_landmarks(size):
    landmarks = jax.random.uniform(jax.random.key(0), (2, 3, 478, 2), minval=-1.5, maxval=1.5)
    weights = landmark_weights(landmarks, size, RegionWeights())
    assert weights.shape == (2, 3, *size)
    np.testing.assert_allclose(weights.mean((-2, -1)), 1, rtol=1e-5)
    assert (weights > 0).all()


def test_a_face_outside_the_crop_weighs_nothing(face):
    weights = landmark_weights(face + 3, (16, 16), RegionWeights())
    np.testing.assert_allclose(weights, 1, rtol=1e-6)


def test_equal_weights_are_uniform(face):
    np.testing.assert_allclose(landmark_weights(face, (16, 16), RegionWeights(1.0, 1.0)), 1, rtol=1e-6)


@pytest.mark.parametrize("size", [16, 64])
def test_area_of_the_face_is_right_at_every_resolution(face, size):
    """With the face at 3 and the rest at 1 (features like the face), the map's excess is twice the covered share."""
    weights = landmark_weights(face, (size, size), RegionWeights(face=3.0, features=3.0))
    covered = (weights / weights[0, 0] - 1).mean() / 2
    assert covered == pytest.approx(np.pi * 0.6**2 / 4, rel=0.02)  # 32 half planes around a disc: +0.3 %; cells


def test_dilation_grows_the_features(face):
    def area(dilation):
        return (landmark_weights(face, (64, 64), RegionWeights(1.0, 2.0, dilation)) > 1).sum()

    assert area(0.0) < area(0.05) < area(0.1)


def test_map_follows_the_face(face):
    size = 32
    shift = jnp.array([4 * 2 / size, -2 * 2 / size])  # 4 cells right, 2 up
    moved = landmark_weights(face + shift, (size, size), RegionWeights())
    still = landmark_weights(face, (size, size), RegionWeights())
    np.testing.assert_allclose(moved, jnp.roll(still, (-2, 4), axis=(0, 1)), rtol=1e-4)


def test_plain_mse_with_weights_of_one():
    prediction, target = jax.random.normal(jax.random.key(1), (2, 3, 4, 8, 8, 2))
    loss = weighted_mse(prediction, target, jnp.ones((3, 4, 8, 8)))
    np.testing.assert_allclose(loss, jnp.square(prediction - target).mean((1, 2, 3, 4)), rtol=1e-5)


def test_error_counts_by_its_weight():
    target = jnp.zeros((1, 2, 2, 3))
    weights = jnp.array([[[0.5, 1.0], [1.5, 1.0]]])
    for row, column in ((0, 0), (1, 0)):
        loss = weighted_mse(target.at[0, row, column].set(2.0), target, weights)
        assert loss[0] == pytest.approx(4 * weights[0, row, column] / 4)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_is_one_loss_on_x0_whatever_is_predicted(gamma):
    """An error d of x_0 is an error alpha / sigma d of epsilon and d / sigma of v."""
    t = jnp.array([0, 50, 300, 600, 900])
    processes = {name: Process.create(DiffusionConfig(prediction=name)) for name in ("epsilon", "v", "x0")}
    alpha, sigma = processes["v"].schedule.at(t)
    snr = processes["v"].schedule.snr(t)
    on_x0 = min_snr_weight(processes["x0"], t, gamma)
    np.testing.assert_allclose(on_x0, jnp.minimum(snr, gamma), rtol=1e-5)
    np.testing.assert_allclose(min_snr_weight(processes["epsilon"], t, gamma) * (alpha / sigma) ** 2, on_x0, rtol=1e-5)
    np.testing.assert_allclose(min_snr_weight(processes["v"], t, gamma) / sigma**2, on_x0, rtol=1e-5)


def test_min_snr_leaves_noisy_epsilon_alone_and_vanishes_on_pure_noise():
    process = Process.create(DiffusionConfig(prediction="epsilon"))
    np.testing.assert_allclose(min_snr_weight(process, jnp.array([800, 999]), 5.0), 1, rtol=1e-6)
    for prediction in ("v", "x0"):
        process = Process.create(DiffusionConfig(prediction=prediction, zero_terminal_snr=True))
        assert min_snr_weight(process, jnp.array([999]), 5.0)[0] == 0
