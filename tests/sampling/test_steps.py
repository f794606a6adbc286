"""Identities between solvers, one step at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.diffusion.process import DiffusionConfig, Process
from adiff_jax.diffusion.schedules import SCHEDULES
from adiff_jax.sampling.steps import DDIM, DDPM, DPMSolverPlusPlus2M

SOLVERS = [DDIM(0.0), DDIM(0.3), DDIM(1.0), DDPM(), DPMSolverPlusPlus2M(), DPMSolverPlusPlus2M(1.0)]
PAIRS = [(999, 980), (999, 0), (500, 480), (40, 20), (1, 0)]


@pytest.fixture(params=SCHEDULES)
def schedule(request):
    return Process.create(DiffusionConfig(schedule=request.param)).schedule


@pytest.fixture
def draws():
    """x_0, epsilon and fresh noise."""
    return jax.random.normal(jax.random.key(0), (3, 4096))


def step(solver, schedule, z_t, x0, t, s, noise):
    noise = noise if solver.stochastic else None
    return solver(schedule, z_t, x0, jnp.asarray(t), jnp.asarray(s), noise, solver.init(z_t))[0]


@pytest.mark.parametrize("t, s", PAIRS)
def test_ddpm_is_ddim_at_eta_one(schedule, draws, t, s):
    x0, epsilon, noise = draws
    z_t = schedule.alpha[t] * x0 + schedule.sigma[t] * epsilon
    np.testing.assert_allclose(
        step(DDPM(), schedule, z_t, x0, t, s, noise),
        step(DDIM(1.0), schedule, z_t, x0, t, s, noise),
        atol=1e-4,  # epsilon is divided by sigma_t, 0.01 at t = 0
    )


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("t, s", PAIRS)
def test_first_step_of_dpm_solver_is_ddim(schedule, draws, t, s, eta):
    x0, epsilon, noise = draws
    z_t = schedule.alpha[t] * x0 + schedule.sigma[t] * epsilon
    np.testing.assert_allclose(
        step(DPMSolverPlusPlus2M(eta), schedule, z_t, x0, t, s, noise),
        step(DDIM(eta), schedule, z_t, x0, t, s, noise),
        atol=1e-4,  # epsilon is divided by sigma_t, 0.01 at t = 0
    )


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@pytest.mark.parametrize("t, s", PAIRS)
def test_with_the_true_x0_a_step_keeps_the_marginal(schedule, draws, solver, t, s):
    """z_t ~ q(z_t | x_0) is taken to z_s ~ q(z_s | x_0): mean alpha_s x_0, deviation sigma_s, any eta."""
    x0, epsilon, noise = draws
    z_s = step(solver, schedule, schedule.alpha[t] * x0 + schedule.sigma[t] * epsilon, x0, t, s, noise)
    residual = (z_s - schedule.alpha[s] * x0) / schedule.sigma[s]
    assert residual.mean() == pytest.approx(0, abs=0.07)  # 4 standard errors of 4096 draws
    assert residual.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_the_last_step_gives_the_estimate(schedule, draws, solver):
    x0, epsilon, noise = draws
    np.testing.assert_allclose(step(solver, schedule, epsilon, x0, 19, -1, noise), x0, atol=1e-5)


def test_deterministic_ddim_is_inverted_by_stepping_back(schedule, draws):
    x0, epsilon, _ = draws
    z_t = schedule.alpha[400] * x0 + schedule.sigma[400] * epsilon
    z_s = step(DDIM(0.0), schedule, z_t, x0, 400, 200, None)
    np.testing.assert_allclose(step(DDIM(0.0), schedule, z_s, x0, 200, 400, None), z_t, atol=1e-4)


def test_eta_sets_the_share_of_fresh_noise(schedule, draws):
    x0, epsilon, noise = draws
    z_t = schedule.alpha[500] * x0 + schedule.sigma[500] * epsilon
    fresh = [
        jnp.abs(
            step(DDIM(eta), schedule, z_t, x0, 500, 400, noise)
            - step(DDIM(eta), schedule, z_t, x0, 500, 400, 0 * noise)
        )
        for eta in (0.25, 0.5, 1.0)
    ]
    np.testing.assert_allclose(2 * fresh[0], fresh[1], atol=1e-5)
    np.testing.assert_allclose(2 * fresh[1], fresh[2], atol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_zero_terminal_snr_starts_finite(draws, solver):
    schedule = Process.create(DiffusionConfig(prediction="v", zero_terminal_snr=True)).schedule
    x0, epsilon, noise = draws
    memory = solver.init(epsilon)
    z_t = epsilon
    for t, s in ((999, 750), (750, 500), (500, -1)):
        fresh = noise if solver.stochastic else None
        z_t, memory = solver(schedule, z_t, x0, jnp.asarray(t), jnp.asarray(s), fresh, memory)
        assert jnp.isfinite(z_t).all()
    np.testing.assert_allclose(z_t, x0, atol=1e-5)


@pytest.mark.parametrize("solver", [DDIM, DPMSolverPlusPlus2M])
@pytest.mark.parametrize("eta", [-0.1, 1.1])
def test_eta_outside_its_range_is_refused(solver, eta):
    with pytest.raises(ValueError, match="within 0 and 1"):
        solver(eta)
