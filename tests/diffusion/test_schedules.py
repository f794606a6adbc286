"""Laws that hold for every schedule."""

import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.diffusion.schedules import SCHEDULES, Schedule, zero_terminal_snr


@pytest.fixture(params=[(name, rescaled) for name in SCHEDULES for rescaled in (False, True)], ids=str)
def alphas_cumprod(request):
    name, rescaled = request.param
    alphas_cumprod = SCHEDULES[name](1000)
    return zero_terminal_snr(alphas_cumprod) if rescaled else alphas_cumprod


def test_signal_falls_from_almost_one_to_almost_zero(alphas_cumprod):
    assert (np.diff(alphas_cumprod) < 0).all()
    assert 0.99 < alphas_cumprod[0] < 1
    assert 0 <= alphas_cumprod[-1] < 0.01


def test_rates_are_of_unit_variance_and_monotone(alphas_cumprod):
    schedule = Schedule.create(alphas_cumprod)
    np.testing.assert_allclose(schedule.alpha**2 + schedule.sigma**2, 1, rtol=1e-6)  # float32 round-off
    assert (np.diff(schedule.alpha) < 0).all()
    assert (schedule.sigma > 0).all()
    assert (np.diff(schedule.sigma) >= 0).all()  # equal in float32 where the signal is almost gone
    assert schedule.num_steps == 1000


def test_snr_falls_and_is_infinite_on_clean_data(alphas_cumprod):
    schedule = Schedule.create(alphas_cumprod)
    snr = schedule.snr(jnp.arange(-1, 1000))
    assert jnp.isinf(snr[0])
    assert (jnp.diff(snr) < 0).all()
    # float64 division as the reference; small rates lose nothing, because they are rounded only once
    np.testing.assert_allclose(snr[1:-1], (alphas_cumprod / (1 - alphas_cumprod))[:-1], rtol=1e-5)


def test_time_minus_one_is_clean():
    alpha, sigma = Schedule.create(SCHEDULES["linear"](1000)).at(jnp.array([-1, 0]))
    assert alpha[0] == 1 and sigma[0] == 0
    assert alpha[1] < 1 and sigma[1] > 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_zero_terminal_snr_keeps_the_first_step_and_ends_in_noise(name):
    before = SCHEDULES[name](1000)
    after = zero_terminal_snr(before)
    assert after[0] == pytest.approx(before[0])
    assert after[-1] == 0
    assert (after <= before).all()


def test_linear_matches_its_published_endpoints():
    alphas_cumprod = SCHEDULES["linear"](1000)
    assert alphas_cumprod[0] == pytest.approx(1 - 1e-4)
    assert alphas_cumprod[-1] / alphas_cumprod[-2] == pytest.approx(1 - 0.02)
    assert alphas_cumprod[-1] == pytest.approx(4.036e-5, rel=1e-3)


def test_scaled_linear_matches_stable_diffusion():
    alphas_cumprod = SCHEDULES["scaled_linear"](1000)
    assert alphas_cumprod[0] == pytest.approx(1 - 0.00085)
    assert alphas_cumprod[-1] == pytest.approx(0.00466, rel=1e-3)  # signal rate 0.0683: its known terminal leak


def test_cosine_is_a_squared_cosine_until_beta_is_clipped():
    angle = np.pi / 2 * 0.008 / 1.008
    half = np.cos(np.pi / 2 * (0.5 + 0.008) / 1.008) ** 2 / np.cos(angle) ** 2
    assert SCHEDULES["cosine"](1000)[499] == pytest.approx(half)


@pytest.mark.parametrize("name", ["linear", "scaled_linear"])
@pytest.mark.parametrize("num_steps", [100, 4000])
def test_endpoint_does_not_depend_on_the_number_of_steps(name, num_steps):
    log_end, log_end_1000 = np.log(SCHEDULES[name](num_steps)[-1]), np.log(SCHEDULES[name](1000)[-1])
    assert log_end == pytest.approx(log_end_1000, rel=0.1)  # discretisation
