"""Guidance on a denoiser whose prediction shows which conditions it was given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.diffusion.guidance import guided
from adiff_jax.types import Conditioning

B, S, h, w, c = 3, 2, 4, 4, 2


def denoiser(z_t, t, cond):
    """z_t, plus 10 times the landmarks' sum and 100 times the embedding's where they are given, plus t."""

    def expand(x):
        return x[:, None, None, None, None]

    landmarks = jnp.where(cond.landmarks_mask, cond.landmarks.sum((1, 2, 3)), 0.5)
    clip = jnp.where(cond.clip_mask, cond.clip.sum(1), 0.25)
    return z_t + expand(10 * landmarks + 100 * clip + clip * landmarks + t)


@pytest.fixture
def inputs():
    keys = jax.random.split(jax.random.key(0), 4)
    cond = Conditioning.create(jax.random.normal(keys[0], (B, 5)), jax.random.normal(keys[1], (B, S, 7, 2)))
    return jax.random.normal(keys[2], (B, S, h, w, c)), jax.random.uniform(keys[3], (B,)), cond


def branch(inputs, clip, landmarks):
    z_t, t, cond = inputs
    masked = cond.replace(clip_mask=cond.clip_mask & clip, landmarks_mask=cond.landmarks_mask & landmarks)
    return denoiser(z_t, t, masked)


@pytest.mark.parametrize("clip_weight", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("landmarks_weight", [0.0, 1.0, 1.5])
def test_equals_the_formula(inputs, clip_weight, landmarks_weight):
    nothing, landmarks, both = branch(inputs, False, False), branch(inputs, False, True), branch(inputs, True, True)
    expected = nothing + landmarks_weight * (landmarks - nothing) + clip_weight * (both - landmarks)
    result = guided(denoiser, clip_weight, landmarks_weight)(*inputs)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-3)  # values of some hundreds cancel


@pytest.mark.parametrize(("weight", "given"), [(1.0, True), (0.0, False)])
def test_ones_are_conditional_and_zeros_unconditional(inputs, weight, given):
    np.testing.assert_array_equal(guided(denoiser, weight, weight)(*inputs), branch(inputs, given, given))


@pytest.mark.parametrize(
    ("weights", "branches"),
    [
        ((1.0, 1.0), 1),
        ((0.0, 0.0), 1),
        ((0.0, 1.0), 1),
        ((3.0, 3.0), 2),
        ((2.0, 1.0), 2),
        ((2.0, 0.0), 3),
        ((2.0, 1.5), 3),
    ],
)
def test_one_call_with_the_branches_that_count(inputs, weights, branches):
    batches = []

    def counting(z_t, t, cond):
        batches.append(len(z_t))
        return denoiser(z_t, t, cond)

    guided(counting, *weights)(*inputs)
    assert batches == [branches * B]


def test_a_missing_condition_stays_missing(inputs):
    z_t, t, cond = inputs
    dropped = cond.replace(clip_mask=jnp.array([True, False, True]))
    result = guided(denoiser, 3.0, 1.0)(z_t, t, dropped)
    np.testing.assert_allclose(result[1], branch(inputs, False, True)[1], rtol=1e-5)


def test_guidance_acts_in_its_interval_alone(inputs):
    """Each sequence by its own time, also where a batch has times inside and outside."""
    z_t, _, cond = inputs
    interval = guided(denoiser, 2.0, 1.5, (0.2, 0.5))
    for times in ([100.0, 300.0, 600.0], [250.0, 300.0, 500.0], [0.0, 199.0, 501.0]):
        t = jnp.asarray(times)
        inside = (t >= 200) & (t <= 500)
        full = guided(denoiser, 2.0, 1.5)(z_t, t, cond)
        expected = jnp.where(inside[:, None, None, None, None], full, denoiser(z_t, t, cond))
        np.testing.assert_allclose(interval(z_t, t, cond), expected, rtol=1e-5)


def test_outside_the_interval_only_one_branch_runs(inputs):
    z_t, _, cond = inputs
    batches = []

    def counting(z_t, t, cond):
        jax.debug.callback(lambda z: batches.append(len(z)), z_t)
        return denoiser(z_t, t, cond)

    for time, expected in ((300.0, 3 * B), (700.0, B)):
        batches.clear()
        jax.block_until_ready(guided(counting, 2.0, 1.5, (0.2, 0.5))(z_t, jnp.full(B, time), cond))
        jax.effects_barrier()
        assert batches == [expected]


@pytest.mark.parametrize("interval", [(0.5, 0.2), (-0.1, 0.5), (0.0, 1.1)])
def test_bad_intervals_are_refused(inputs, interval):
    with pytest.raises(ValueError, match="two rising fractions"):
        guided(denoiser, 2.0, 1.5, interval)
