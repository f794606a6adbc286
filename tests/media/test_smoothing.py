"""The One-Euro filter: exact steps, steady at rest, quick in motion."""

import numpy as np
import pytest

from adiff_jax.media import topology
from adiff_jax.media.smoothing import one_euro, smooth_landmarks


def test_first_steps_are_the_papers():
    """Algorithm 1 by hand at 10 Hz: alpha = 1 / (1 + tau / T), tau = 1 / (2 pi cutoff)."""
    alpha = 1 / (1 + 10 / (2 * np.pi))
    speed = alpha * 10.0  # (1 - 0) / T
    quick = 1 / (1 + 10 / (2 * np.pi * (1 + 0.5 * speed)))
    result = one_euro(np.array([0.0, 1.0]), np.array([0.0, 0.1]), min_cutoff=1.0, beta=0.5)
    np.testing.assert_allclose(result, [0, quick])


def test_a_constant_stays(rng):
    values = np.broadcast_to(rng.normal(size=(1, 5, 3)), (20, 5, 3))
    np.testing.assert_allclose(one_euro(values, np.arange(20) / 25, beta=1.0), values)


def test_noise_at_rest_shrinks_and_motion_is_followed(rng):
    times = np.cumsum(rng.uniform(0.02, 0.06, 400))
    noise = rng.normal(0, 0.01, 400)
    assert one_euro(noise, times, 1.0, 5.0)[50:].std() < 0.5 * noise.std()
    ramp = 5 * times
    lag = abs(one_euro(ramp, times, 1.0, 5.0) - ramp)[50:].max()
    assert lag < 0.25 * abs(one_euro(ramp, times, 1.0, 0.0) - ramp)[50:].max()


def test_time_counts_not_samples():
    """A step, sampled twice as densely, is followed along nearly the same curve in time."""
    for rate in (100, 200):
        times = np.arange(rate + 1) / rate
        values = (times > 0).astype(float)
        half = one_euro(values, times, min_cutoff=1.0)[rate // 4]
        assert half == pytest.approx(1 - np.exp(-np.pi / 2), abs=0.02)  # the exponential it discretises


def test_landmarks_in_any_unit(rng, face):
    track = face + rng.normal(0, 0.02, (30, 478, 3))
    times = np.arange(30) / 25
    np.testing.assert_allclose(smooth_landmarks(100 * track, times), 100 * smooth_landmarks(track, times), rtol=1e-6)
    assert smooth_landmarks(track, times)[10:].std(axis=0).mean() < 0.8 * track[10:].std(axis=0).mean()


def test_a_track_at_rest_stays(face):
    still = np.repeat(face[None], 20, axis=0)
    np.testing.assert_allclose(smooth_landmarks(still, np.arange(20) / 25), still, rtol=1e-9)


def test_a_track_does_not_lag(face):
    """A head that moves steadily is where it was, away from the ends; one pass alone would trail behind."""
    times = np.arange(60) / 25
    moving = face + np.stack([times, 0 * times, 0 * times], axis=-1)[:, None]
    lag = abs(smooth_landmarks(moving, times) - moving)[20:-20].max()
    alone = abs(one_euro(moving, times, 3.0, 20.0 / 0.9) - moving)[20:-20].max()  # eyes are 0.9 apart
    assert alone > 0.005
    assert lag < 0.02 * alone


def test_time_may_run_either_way(rng, face):
    track = face + rng.normal(0, 0.02, (30, 478, 3))
    times = np.cumsum(rng.uniform(0.02, 0.06, 30))
    backwards = smooth_landmarks(track[::-1], (times[-1] - times)[::-1])
    np.testing.assert_allclose(backwards[::-1], smooth_landmarks(track, times), rtol=1e-9)


def test_a_blink_survives(face):
    """Lids that close for three frames of 25 a second, in an otherwise still face, still close by nine tenths."""
    times = np.arange(40) / 25
    openness = np.ones(40)
    openness[18:23] = 0.5, 0, 0, 0, 0.5
    track = np.repeat(face[None], 40, axis=0)
    upper, lower = topology.RIGHT_EYE.upper[3], topology.RIGHT_EYE.lower[3]
    track[:, upper] = face[lower] + openness[:, None] * (face[upper] - face[lower])
    smooth = smooth_landmarks(track, times)
    gap = np.linalg.norm(smooth[:, upper] - smooth[:, lower], axis=-1)
    assert 1 - gap.min() / gap[0] > 0.75
