"""Round trips of every prediction, and the options that are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.diffusion.process import DiffusionConfig, Process

CONFIGS = [
    DiffusionConfig(schedule=schedule, prediction=prediction, zero_terminal_snr=rescaled)
    for schedule in ("linear", "cosine", "scaled_linear")
    for prediction in ("epsilon", "v", "x0")
    for rescaled in (False, True)
    if not (rescaled and prediction == "epsilon")
]


@pytest.fixture(params=CONFIGS, ids=lambda c: f"{c.schedule}-{c.prediction}-{c.zero_terminal_snr}")
def process(request):
    return Process.create(request.param)


@pytest.fixture
def data():
    """x_0, noise and one time a sequence: clean to noisy, every order of magnitude of the rates."""
    t = jnp.array([0, 1, 10, 100, 500, 900, 990, 999])
    x0, noise = jax.random.normal(jax.random.key(0), (2, len(t), 3, 4, 4, 2))
    return x0, noise, t


def test_target_implies_data_noise_and_velocity(process, data):
    x0, noise, t = data
    z_t, target = process.corrupt(x0, noise, t), process.target(x0, noise, t)
    alpha, sigma = (rate[:, None, None, None, None] for rate in process.schedule.at(t))
    # Float32 round-off (1e-6 for values up to about 8), enlarged where a small rate is divided by.
    small = 1 if process.prediction == "v" else alpha if process.prediction == "epsilon" else sigma
    tolerance = 1e-6 + 1e-6 / small
    assert (jnp.abs(process.to_x0(z_t, target, t) - x0) < tolerance).all()
    assert (jnp.abs(process.to_epsilon(z_t, target, t) - noise) < tolerance).all()
    assert (jnp.abs(process.to_v(z_t, target, t) - process.velocity(x0, noise, t)) < tolerance).all()


def test_corrupting_at_the_end_gives_clean_data(process, data):
    x0, noise, _ = data
    np.testing.assert_array_equal(process.corrupt(x0, noise, jnp.asarray(-1)), x0)


def test_corruption_keeps_unit_variance(process):
    x0, noise = jax.random.normal(jax.random.key(1), (2, 200_000))
    for t in (0, 300, 700, 999):
        assert process.corrupt(x0, noise, jnp.asarray(t)).var() == pytest.approx(1, abs=0.02)  # 6 standard errors


def test_one_time_serves_all_or_each_its_own(process, data):
    x0, noise, t = data
    together = process.corrupt(x0, noise, t)
    for i, time in enumerate(t):
        np.testing.assert_allclose(together[i], process.corrupt(x0[i], noise[i], time), rtol=1e-6)


@pytest.mark.parametrize("prediction", ["v", "x0"])
def test_pure_noise_gives_finite_estimates(prediction):
    process = Process.create(DiffusionConfig(prediction=prediction, zero_terminal_snr=True))
    z_t, output = jax.random.normal(jax.random.key(2), (2, 16))
    t = jnp.asarray(999)
    assert process.schedule.at(t)[0] == 0
    for convert in (process.to_x0, process.to_epsilon, process.to_v):
        assert jnp.isfinite(convert(z_t, output, t)).all()
    np.testing.assert_allclose(process.to_epsilon(z_t, output, t), z_t, rtol=1e-6)


def test_velocity_is_the_derivative_along_the_angle(data):
    """With alpha = cos(phi) and sigma = sin(phi), v = d z / d phi."""
    x0, noise, _ = data
    process = Process.create(DiffusionConfig(schedule="cosine", prediction="v"))
    before, here, after = (jnp.asarray(t) for t in (499, 500, 501))

    def angle(t):
        return jnp.arctan2(*process.schedule.at(t)[::-1])

    slope = (process.corrupt(x0, noise, after) - process.corrupt(x0, noise, before)) / (angle(after) - angle(before))
    np.testing.assert_allclose(slope, process.velocity(x0, noise, here), atol=5e-3)  # central difference in float32


def test_a_process_is_data():
    """Two processes of one kind share a compiled program."""
    corrupt = jax.jit(lambda process, x: process.corrupt(x, x, jnp.asarray(3)))
    for schedule in ("linear", "cosine"):
        corrupt(Process.create(DiffusionConfig(schedule=schedule)), jnp.ones(2))
    assert corrupt._cache_size() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "quadratic"}, "quadratic"),
        ({"prediction": "score"}, "score"),
        ({"num_train_steps": 1}, "at least 2"),
        ({"prediction": "epsilon", "zero_terminal_snr": True}, "needs prediction 'v' or 'x0'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=message):  # a TypeError where types are checked
        DiffusionConfig(**options)
