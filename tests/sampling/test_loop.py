"""The loop with denoisers whose answer is known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.diffusion.process import DiffusionConfig, Process
from adiff_jax.diffusion.schedules import SCHEDULES
from adiff_jax.sampling.loop import frame_noise, karras_timesteps, sample, timesteps
from adiff_jax.sampling.steps import DDIM, DDPM, DPMSolverPlusPlus2M

SOLVERS = [DDIM(0.0), DDIM(0.5), DDIM(1.0), DDPM(), DPMSolverPlusPlus2M(), DPMSolverPlusPlus2M(1.0)]


def from_x0(process, z_t, x0, t):
    """What a denoiser that knows x_0 predicts at z_t."""
    t = t.astype(jnp.int32)
    alpha, sigma = process.schedule.at(t)
    return process.target(x0, (z_t - alpha * x0) / sigma, t)


@pytest.mark.parametrize(
    ("solver", "prediction", "spacing"),
    [(solver, "v", "trailing") for solver in SOLVERS]
    + [(DDIM(1.0), prediction, "trailing") for prediction in ("epsilon", "x0")]
    + [(DDIM(1.0), "v", spacing) for spacing in ("leading", "linspace", "karras")],
    ids=str,
)
def test_true_x0_is_recovered(solver, prediction, spacing):
    process = Process.create(DiffusionConfig(schedule="scaled_linear", prediction=prediction))
    x0 = jax.random.normal(jax.random.key(0), (3, 4, 4, 2))
    z_0 = sample(
        lambda z_t, t, step: from_x0(process, z_t, x0, t),
        process,
        jax.random.key(1),
        x0.shape,
        steps=7,
        spacing=spacing,
        solver=solver,
    )
    np.testing.assert_allclose(z_0, x0, atol=1e-4)  # float32, divided by alpha of 0.07 for epsilon


def gaussian_denoiser(process, mean, deviation):
    """The best estimate of x_0 ~ N(mean, deviation^2), which is linear in z_t."""

    def denoise(z_t, t, step):
        alpha, sigma = process.schedule.at(t.astype(jnp.int32))
        return mean + alpha * deviation**2 / (alpha**2 * deviation**2 + sigma**2) * (z_t - alpha * mean)

    return denoise


@pytest.mark.parametrize(
    ("schedule", "solver"),
    [("linear", solver) for solver in SOLVERS] + [("cosine", DDIM(1.0)), ("scaled_linear", DDIM(1.0))],
    ids=str,
)
def test_gaussian_data_get_their_mean_and_variance(schedule, solver):
    mean, deviation = 0.7, 0.5
    process = Process.create(DiffusionConfig(schedule=schedule, prediction="x0"))
    denoiser = gaussian_denoiser(process, mean, deviation)
    z_0 = sample(denoiser, process, jax.random.key(2), (1000, 3, 3, 1), steps=200, solver=solver)
    # Standard errors of 9000 draws are 0.005 and 0.004; 200 steps bias the deviation by up to 2 %.
    assert z_0.mean() == pytest.approx(mean, abs=0.03)
    assert z_0.std() == pytest.approx(deviation, rel=0.05)


def test_deterministic_solvers_follow_the_exact_flow_and_second_order_better():
    """For Gaussian data the probability flow is known: it scales z_T's deviation to that of the data."""
    mean, deviation, shape = 0.7, 0.5, (64, 2, 2, 1)
    process = Process.create(DiffusionConfig(schedule="cosine", prediction="x0"))
    z_T = frame_noise(jax.random.split(jax.random.key(3))[0], jnp.arange(64), shape[1:])
    alpha, sigma = process.schedule.alpha[-1], process.schedule.sigma[-1]
    exact = mean + deviation * (z_T - alpha * mean) / jnp.sqrt(alpha**2 * deviation**2 + sigma**2)

    def error(solver):
        denoiser = gaussian_denoiser(process, mean, deviation)
        return jnp.abs(sample(denoiser, process, jax.random.key(3), shape, steps=20, solver=solver) - exact).mean()

    assert error(DDIM(0.0)) < 0.05
    assert error(DPMSolverPlusPlus2M()) < 0.2 * error(DDIM(0.0))


@pytest.mark.parametrize("solver", [DDIM(0.0), DPMSolverPlusPlus2M()], ids=str)
def test_deterministic_solvers_draw_no_noise_but_the_first(process, solver):
    """The same start gives the same end, whatever the key says of later steps."""

    def denoiser(z_t, t, step):
        return 0.1 * z_t

    z_0 = sample(denoiser, process, jax.random.key(4), (2, 2, 2, 1), steps=5, solver=solver)
    z_t = frame_noise(jax.random.split(jax.random.key(4))[0], jnp.arange(2), (2, 2, 1))
    memory = solver.init(z_t)
    times = jnp.asarray(timesteps(1000, 5, "trailing"))
    for t, s in itertools.pairwise(times):
        z_t, memory = solver(process.schedule, z_t, process.to_x0(z_t, denoiser(z_t, t, 0), t), t, s, None, memory)
    np.testing.assert_allclose(z_0, z_t, atol=1e-5)


def test_frames_keep_their_noise_in_a_longer_video(process):
    def denoiser(z_t, t, step):
        return 0.1 * z_t

    short, long = (sample(denoiser, process, jax.random.key(5), (n, 2, 2, 1), steps=4, solver=DDPM()) for n in (3, 8))
    np.testing.assert_array_equal(short, long[:3])


def test_frame_noise_is_normal_and_each_frame_its_own():
    noise = frame_noise(jax.random.key(6), jnp.arange(500), (4, 4, 4))
    assert noise.mean() == pytest.approx(0, abs=0.03)  # 5 standard errors
    assert noise.std() == pytest.approx(1, abs=0.02)
    similarity = jnp.corrcoef(noise.reshape(500, -1)) - jnp.eye(500)
    assert jnp.abs(similarity).max() < 0.75  # 6 standard errors of 64 values
    np.testing.assert_array_equal(
        frame_noise(jax.random.key(6), jnp.array([7, 3, 7]), (4, 4, 4)), noise[jnp.array([7, 3, 7])]
    )


def test_estimates_are_clipped_on_request(process):
    def denoiser(z_t, t, step):
        return -5 * z_t

    def run(clip):
        return sample(denoiser, process, jax.random.key(7), (2, 2, 2, 1), steps=4, solver=DDPM(), clip_x0=clip)

    assert jnp.abs(run(None)).max() > 1
    assert jnp.abs(run(1.0)).max() <= 1


def test_steps_are_numbered_and_times_fall(process):
    seen = []

    def denoiser(z_t, t, step):
        jax.debug.callback(lambda t, step: seen.append((int(step), float(t))), t, step, ordered=True)
        return z_t

    jax.block_until_ready(sample(denoiser, process, jax.random.key(8), (1, 2, 2, 1), steps=4, solver=DDPM()))
    jax.effects_barrier()
    assert seen == [(0, 999.0), (1, 749.0), (2, 499.0), (3, 249.0)]


def test_the_end_of_each_step_is_shown_and_changes_nothing(process):
    seen = []

    def show(step, z_s):
        jax.debug.callback(lambda step, z_s: seen.append((int(step), np.array(z_s))), step, z_s, ordered=True)

    def run(on_step_end):
        options = {"steps": 4, "on_step_end": on_step_end}
        return sample(lambda z_t, t, step: 0.1 * z_t, process, jax.random.key(9), (2, 2, 2, 1), **options)

    shown, silent = run(show), run(None)
    jax.effects_barrier()
    assert [step for step, _ in seen] == [0, 1, 2, 3]
    np.testing.assert_array_equal(seen[-1][1], shown)
    np.testing.assert_array_equal(shown, silent)


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ("trailing", [999, 799, 599, 399, 199, -1]),
        ("leading", [800, 600, 400, 200, 0, -1]),
        ("linspace", [999, 749, 500, 250, 0, -1]),
        ("linspace", [999, -1]),
    ],
)
def test_literal_spacings(spacing, expected):
    np.testing.assert_array_equal(timesteps(1000, len(expected) - 1, spacing), expected)


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 7, 50, 333, 1000])
def test_times_fall_strictly_within_the_training_steps(spacing, steps):
    times = timesteps(1000, steps, spacing)
    assert len(times) == steps + 1
    assert (np.diff(times) < 0).all()
    assert times[-1] == -1 and times[0] <= 999
    if spacing != "leading":
        assert times[0] == 999


@pytest.mark.parametrize(("steps", "spacing"), [(0, "trailing"), (1001, "trailing"), (5, "karras")])
def test_bad_spacings_are_refused(steps, spacing):
    with pytest.raises((ValueError, TypeError), match=spacing if spacing == "karras" else "within 1 and 1000"):
        timesteps(1000, steps, spacing)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 10, 50, 1000])
def test_karras_times_fall_strictly_from_the_last_training_step(schedule, steps):
    schedule = Process.create(DiffusionConfig(schedule=schedule)).schedule
    times = np.asarray(karras_timesteps(schedule, steps))
    assert len(times) == steps + 1
    assert times[0] == 999 and times[-1] == -1
    assert (np.diff(times) < 0).all()


def test_karras_levels_are_those_of_the_ramp():
    """Where levels are dense, the roots of the noise levels fall evenly (Karras et al. 2022, eq. 5 with rho 7)."""
    schedule = Process.create(DiffusionConfig(schedule="scaled_linear")).schedule
    times = np.asarray(karras_timesteps(schedule, 12))[:-1]
    roots = np.asarray(schedule.sigma / schedule.alpha)[times] ** (1 / 7)
    np.testing.assert_allclose(np.diff(roots)[:8], np.diff(roots)[:8].mean(), rtol=0.05)  # later levels are sparse


def test_karras_times_can_be_traced():
    schedule = Process.create(DiffusionConfig()).schedule
    np.testing.assert_array_equal(jax.jit(lambda s: karras_timesteps(s, 20))(schedule), karras_timesteps(schedule, 20))


@pytest.mark.parametrize("steps", [0, 1001])
def test_bad_numbers_of_karras_steps_are_refused(process, steps):
    with pytest.raises(ValueError, match="within 1 and 1000"):
        karras_timesteps(process.schedule, steps)


@pytest.mark.parametrize("solver", [DPMSolverPlusPlus2M(0.0), DPMSolverPlusPlus2M(1.0)], ids=str)
def test_second_order_needs_fewer_steps(solver):
    """Of Gaussian data, the deviation of what 12 steps draw: nearer to the truth than first order of the same eta."""
    process = Process.create(DiffusionConfig(schedule="cosine", prediction="x0"))
    denoiser = gaussian_denoiser(process, 0.7, 0.5)

    def error(solver):
        z_0 = sample(denoiser, process, jax.random.key(2), (2000, 3, 3, 1), steps=12, solver=solver)
        return abs(float(z_0.std()) - 0.5)

    assert error(solver) < 0.5 * error(DDIM(solver.eta))
