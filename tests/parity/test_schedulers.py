"""Schedules, time steps and solvers against diffusers' DDPM, DDIM and DPM-Solver++ schedulers.

With the same schedule, model outputs and noise both give the same trajectory. Our departures have tests of their own:

- a DDIM step goes to the next time in the list; diffusers' goes by `num_train_timesteps // steps`, which is another
  time whenever steps are not of that length (all of `linspace`, and `trailing` where steps do not divide the schedule);
- `trailing` has as many steps as asked for; diffusers' sums 1000 / steps up and at some counts overshoots to t = -1;
- all solvers share one list of times; diffusers' DPM-Solver++ shifts `leading` and `linspace` by a step;
- a single step of `linspace` is the last training step; diffusers takes noise for data of step 0;
- where the estimate of x_0 is clipped, DDIM's epsilon follows it, as diffusers' `use_clipped_model_output`;
- at zero terminal SNR the first alpha^2 is 0, where diffusers' DPM-Solver++ puts 2^-24, and its DDIM with eta = 1 takes
  the root of 1 - a - (1 - a), which rounds to NaN or not: there both are compared at 2^-24;
- schedules of other than 1000 steps scale their betas, so that they still end in noise.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.diffusion.process import DiffusionConfig, Process
from adiff_jax.diffusion.schedules import SCHEDULES, Schedule, zero_terminal_snr
from adiff_jax.sampling.loop import frame_noise, sample, timesteps
from adiff_jax.sampling.steps import DDIM, DDPM, DPMSolverPlusPlus2M, Solver

torch = pytest.importorskip("torch", reason="parity with diffusers needs torch")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs diffusers")

BETAS = {
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "scaled_linear": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction", "x0": "sample"}
PROCESSES = [
    DiffusionConfig(schedule=schedule, prediction=prediction, zero_terminal_snr=rescaled)
    for schedule, prediction, rescaled in itertools.product(BETAS, PREDICTIONS, (False, True))
    if not (rescaled and prediction == "epsilon")
]
SOLVERS = [DDIM(0.0), DDIM(0.4), DDIM(1.0), DDPM(), DPMSolverPlusPlus2M()]
SPACINGS = ["trailing", "leading", "linspace"]

SHAPE = (2, 3, 3, 2)
STEPS = 7  # does not divide 1000
KEY = jax.random.key(0)


def alphas_cumprod(config: DiffusionConfig) -> np.ndarray:
    """Our schedule in float64."""
    values = SCHEDULES[config.schedule](config.num_train_steps)
    return zero_terminal_snr(values) if config.zero_terminal_snr else values


def make_scheduler(solver: Solver, config: DiffusionConfig, **options):
    """The scheduler of diffusers that does what `solver` does, nothing clipped unless asked for."""
    options = {
        **BETAS[config.schedule],
        "prediction_type": PREDICTIONS[config.prediction],
        "rescale_betas_zero_snr": config.zero_terminal_snr,
        **options,
    }
    match solver:
        case DDIM():
            return diffusers.DDIMScheduler(**{"clip_sample": False, **options})
        case DDPM():
            return diffusers.DDPMScheduler(**{"clip_sample": False, "variance_type": "fixed_small", **options})
        case DPMSolverPlusPlus2M():
            kind = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"}
            return diffusers.DPMSolverMultistepScheduler(**{**kind, "final_sigmas_type": "zero", **options})


@pytest.fixture
def outputs() -> np.ndarray:
    """What the model says at each step: anything."""
    return np.random.default_rng(0).standard_normal((STEPS, *SHAPE), np.float32)


def our_sampler(solver: Solver, outputs: np.ndarray, spacing: str, clip_x0: float | None = None):
    """Gives a function from a process to z_t of every step and z_0, [N+1, *SHAPE], compiled once for all schedules."""
    seen = []

    def denoiser(z_t, t, step):
        jax.debug.callback(lambda z_t: seen.append(np.array(z_t)), z_t, ordered=True)
        return jnp.asarray(outputs)[step]

    @jax.jit
    def run(process: Process) -> jax.Array:
        options = {"steps": len(outputs), "solver": solver, "spacing": spacing, "clip_x0": clip_x0}
        return sample(denoiser, process, KEY, SHAPE, **options)

    def trajectory(process: Process) -> np.ndarray:
        seen.clear()
        z_0 = np.asarray(run(process))
        jax.effects_barrier()
        return np.stack([*seen, z_0])

    return trajectory


@functools.cache
def our_noise(steps: int) -> list:
    """What `sample` draws from KEY: z_T, and the fresh noise of each step."""
    start_key, steps_key = jax.random.split(KEY)
    keys = [start_key, *(jax.random.fold_in(steps_key, step) for step in range(steps))]
    draws = [frame_noise(key, jnp.arange(SHAPE[0]), SHAPE[1:]) for key in keys]
    return [torch.from_numpy(np.array(draw, np.float64)) for draw in draws]


def diffusers_trajectory(scheduler, solver: Solver, outputs: np.ndarray, times: np.ndarray, monkeypatch) -> np.ndarray:
    """The same of a scheduler of diffusers, in float64 where it lets us, along `times` and with our noise."""
    z_t, *fresh = our_noise(len(outputs))
    trajectory = [z_t.numpy()]

    if isinstance(solver, DDIM):
        scheduler.set_timesteps(len(outputs))
    else:
        scheduler.set_timesteps(timesteps=times[:-1].tolist())
    for step, (t, s) in enumerate(itertools.pairwise(times.tolist())):
        output = torch.from_numpy(outputs[step].astype(np.float64))
        match solver:
            case DDIM():
                scheduler.register_to_config(num_train_timesteps=(t - s) * len(outputs))  # makes its next time s
                options = {"eta": solver.eta, "variance_noise": fresh[step], "use_clipped_model_output": True}
            case DDPM():
                name = "diffusers.schedulers.scheduling_ddpm.randn_tensor"
                monkeypatch.setattr(name, lambda *_, noise=fresh[step], **__: noise)
                options = {}
            case _:
                options = {}
        z_t = scheduler.step(output, t, z_t, **options).prev_sample
        trajectory.append(z_t.numpy())
    return np.stack(trajectory)


def assert_same_trajectory(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal at every step to 10 units of float32 round-off, 1e-6 of the largest value so far.

    Of the largest value, since an epsilon means an x_0 up to 20,000 where alpha_t is 5e-5 (cosine, t = 999).
    """
    scale = np.maximum.accumulate(np.abs(theirs).reshape(len(theirs), -1).max(1))
    error = np.abs(ours - theirs).reshape(len(ours), -1).max(1) / scale
    assert (error < 1e-6).all(), error


@pytest.mark.parametrize("rescaled", [False, True])
@pytest.mark.parametrize("name", BETAS)
def test_same_schedule(name, rescaled):
    scheduler = diffusers.DDPMScheduler(**BETAS[name], rescale_betas_zero_snr=rescaled)
    ours = alphas_cumprod(DiffusionConfig(schedule=name, prediction="v", zero_terminal_snr=rescaled))
    # Theirs is a product of 1000 float32 factors, where 1 - 0.999 has 5 digits left: 2e-5 of each value; rescaling
    # subtracts, and adds 2e-6 of 1.
    np.testing.assert_allclose(scheduler.alphas_cumprod, ours, rtol=2e-5, atol=2e-6 if rescaled else 0)


@pytest.mark.parametrize("name", ["linear", "scaled_linear"])
def test_a_short_schedule_scales_its_betas(name):
    betas = {
        key: 10 * value if key.startswith("beta_") and key != "beta_schedule" else value
        for key, value in BETAS[name].items()
    }
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=100, **betas)
    ours = SCHEDULES[name](100)
    np.testing.assert_allclose(scheduler.alphas_cumprod, ours, rtol=1e-5)
    unscaled = diffusers.DDPMScheduler(num_train_timesteps=100, **BETAS[name])
    assert ours[-1] < 0.01 < 0.3 < unscaled.alphas_cumprod[-1], "diffusers' end far from noise"


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_same_corruption_and_velocity(prediction):
    config = DiffusionConfig(prediction=prediction)
    process = Process.create(config)
    scheduler = make_scheduler(DDPM(), config)
    x0, noise = np.random.default_rng(1).standard_normal((2, 5, *SHAPE[1:]), np.float32)
    t = np.array([0, 10, 300, 700, 999])
    arguments = torch.from_numpy(x0), torch.from_numpy(noise), torch.from_numpy(t)
    # Their sigma_0 is off by 2e-4 of itself, 2e-6 of 1, since 1 - alpha_t^2 is taken in float32.
    x0, noise, t = jnp.asarray(x0), jnp.asarray(noise), jnp.asarray(t)
    np.testing.assert_allclose(process.corrupt(x0, noise, t), scheduler.add_noise(*arguments), atol=2e-5)
    np.testing.assert_allclose(process.velocity(x0, noise, t), scheduler.get_velocity(*arguments), atol=2e-5)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("scheduler_class", ["DDIMScheduler", "DDPMScheduler"])
def test_same_times(scheduler_class, spacing):
    scheduler = getattr(diffusers, scheduler_class)(timestep_spacing=spacing)
    for steps in range(1, 1001):
        scheduler.set_timesteps(steps)
        theirs, ours = scheduler.timesteps.numpy(), timesteps(1000, steps, spacing)[:-1]
        assert len(ours) == steps
        if spacing == "linspace" and steps == 1:
            assert (ours, theirs) == (999, 0)
        elif spacing != "trailing" or 1000 % steps == 0:
            np.testing.assert_array_equal(ours, theirs, err_msg=str(steps))
        elif len(theirs) == steps:  # ties round differently
            np.testing.assert_allclose(ours, theirs, atol=1, err_msg=str(steps))
        else:  # their accumulated round-off reaches past the end
            assert len(theirs) == steps + 1 and theirs[-1] == -1


@pytest.mark.parametrize(
    ("spacing", "theirs"),
    [
        ("trailing", [999, 799, 599, 399, 199]),
        ("leading", [830, 664, 498, 332, 166]),
        ("linspace", [999, 799, 599, 400, 200]),
    ],
)
def test_dpm_solver_shares_the_times_of_the_others(spacing, theirs):
    scheduler = diffusers.DPMSolverMultistepScheduler(timestep_spacing=spacing)
    scheduler.set_timesteps(5)
    assert scheduler.timesteps.tolist() == theirs
    assert (timesteps(1000, 5, spacing)[:-1].tolist() == theirs) == (spacing == "trailing")


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_same_trajectory(solver, prediction, spacing, outputs, monkeypatch):
    ours = our_sampler(solver, outputs, spacing)
    times = timesteps(1000, STEPS, spacing)
    for config in PROCESSES:
        if config.prediction != prediction:
            continue
        values = alphas_cumprod(config)
        if config.zero_terminal_snr and solver in (DDIM(1.0), DPMSolverPlusPlus2M()):
            values[-1] = 2.0**-24
        scheduler = make_scheduler(solver, config)
        scheduler.alphas_cumprod = torch.from_numpy(values)
        theirs = diffusers_trajectory(scheduler, solver, outputs, times, monkeypatch)
        assert_same_trajectory(ours(Process(Schedule.create(values), prediction)), theirs)


@pytest.mark.parametrize("solver", [DDIM(0.0), DDIM(0.4), DDIM(1.0), DDPM()], ids=str)
def test_same_trajectory_with_clipped_estimates(solver, outputs, monkeypatch):
    config = DiffusionConfig()
    scheduler = make_scheduler(solver, config, clip_sample=True, clip_sample_range=1.5)
    scheduler.alphas_cumprod = torch.from_numpy(alphas_cumprod(config))
    theirs = diffusers_trajectory(scheduler, solver, outputs, timesteps(1000, STEPS, "trailing"), monkeypatch)
    ours = our_sampler(solver, outputs, "trailing", clip_x0=1.5)(Process.create(config))
    assert_same_trajectory(ours, theirs)
    assert np.abs(ours[-1]).max() == 1.5, "clipping must have mattered"


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_same_trajectory_out_of_the_box(solver, monkeypatch):
    """Nothing of diffusers' replaced, as its users run it: 20 steps, evenly spaced, which need no departure of ours."""
    outputs = np.random.default_rng(2).standard_normal((20, *SHAPE), np.float32)
    config = DiffusionConfig()
    scheduler = make_scheduler(solver, config, timestep_spacing="trailing")
    times = timesteps(1000, 20, "trailing")
    theirs = diffusers_trajectory(scheduler, solver, outputs, times, monkeypatch)
    ours = our_sampler(solver, outputs, "trailing")(Process.create(config))
    # Their schedule in float32, 1e-5 of its value.
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def test_a_ddim_step_goes_to_the_next_time_in_the_list():
    """With the true x_0 and epsilon, the step from 500 to 250 must land on q(z_250 | x_0); theirs lands on 300."""
    times = timesteps(1000, 5, "linspace")
    assert times[2:4].tolist() == [500, 250]
    process = Process.create(DiffusionConfig(prediction="x0"))
    scheduler = make_scheduler(DDIM(0.0), DiffusionConfig(prediction="x0"), timestep_spacing="linspace")
    scheduler.set_timesteps(5)
    x0, noise = jnp.asarray(np.random.default_rng(3).standard_normal((2, *SHAPE), np.float32))
    t, s = jnp.asarray(times[2]), jnp.asarray(times[3])
    z_t = process.corrupt(x0, noise, t)
    ours, _ = DDIM(0.0)(process.schedule, z_t, x0, t, s, None, None)
    theirs = scheduler.step(torch.from_numpy(np.array(x0)), 500, torch.from_numpy(np.array(z_t))).prev_sample
    np.testing.assert_allclose(ours, process.corrupt(x0, noise, s), atol=1e-5)
    np.testing.assert_allclose(theirs, process.corrupt(x0, noise, jnp.asarray(300)), atol=1e-5)


def test_clipping_keeps_ddim_at_eta_one_equal_to_ddpm(outputs):
    """Because epsilon follows the clipped x_0; with the unclipped epsilon, their default, it is not so."""
    process = Process.create(DiffusionConfig())
    ddim, ddpm = (our_sampler(solver, outputs, "trailing", clip_x0=1.0)(process) for solver in (DDIM(1.0), DDPM()))
    assert_same_trajectory(ddim, ddpm)
    scheduler = make_scheduler(DDIM(1.0), DiffusionConfig(), clip_sample=True, timestep_spacing="trailing")
    scheduler.set_timesteps(STEPS)
    z_t, noise = torch.from_numpy(ddpm[0]), torch.zeros(SHAPE)
    step = functools.partial(scheduler.step, torch.from_numpy(outputs[0]), 999, z_t, eta=1.0, variance_noise=noise)
    followed, default = (step(use_clipped_model_output=used).prev_sample for used in (True, False))
    assert (followed - default).abs().max() > 0.01


def test_the_step_after_pure_noise_is_of_first_order(outputs):
    """Slopes in log(alpha / sigma) vanish over an infinite distance: the second step is DDIM's, as the first."""
    process = Process.create(DiffusionConfig(prediction="v", zero_terminal_snr=True))
    second_order, ddim = (
        our_sampler(solver, outputs, "trailing")(process) for solver in (DPMSolverPlusPlus2M(), DDIM(0.0))
    )
    assert_same_trajectory(second_order[:3], ddim[:3])
    assert np.abs(second_order[3] - ddim[3]).max() > 0.01
