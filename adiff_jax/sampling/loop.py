"""The sampling loop: one scan over denoising steps, for a whole video at once.

    z_T ──► VideoDenoiser ──► x_0 estimate ──► Solver ──► z_s ──► ... ──► z_0
             (groups)          [F h w c]      (per frame)

How a video is denoised by a model that fits S frames is a `VideoDenoiser`'s affair: `anchored.anchored` (the paper's
method), `baselines.multidiffusion`, `baselines.independent`. They differ in nothing else.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol, runtime_checkable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from adiff_jax.diffusion.process import Process
from adiff_jax.diffusion.schedules import Schedule
from adiff_jax.sampling.steps import DDIM, Solver

Spacing = Literal["trailing", "leading", "linspace", "karras"]
Impose = Callable[[Float[Array, "F h w c"], Int[Array, ""]], Float[Array, "F h w c"]]
"""Takes latents and the number of a step, and gives the latents with what is known of them put in."""


@flax.struct.dataclass
class Given:
    """Frames of a video that are known: a photograph as the anchor, the end of an earlier video, frames not to change.

    The estimate of x_0 is theirs at every step, and everything else goes as with any frame. So such a frame's latent at
    time t is a draw of q(z_t | z_0) with the noise of that frame, by a deterministic solver alpha_t z_0 + sigma_t
    epsilon, and what comes out is z_0.

    Attributes:
        mask: which frames are known.
        latents: z_0 of the known frames; anything for the others.
    """

    mask: Bool[Array, " F"]
    latents: Float[Array, "F h w c"]

    def put_into(
        self, frames: Float[Array, "F h w c"], known: Float[Array, "F h w c"] | None = None
    ) -> Float[Array, "F h w c"]:
        """`frames`, where they are known replaced by `known`, by default the latents."""
        return jnp.where(self.mask[:, None, None, None], self.latents if known is None else known, frames)


ANCESTRAL = DDIM(eta=1.0)
KARRAS_RHO = 7.0
KARRAS_LARGEST = 80.0


@runtime_checkable
class VideoDenoiser(Protocol):
    """A denoiser of all frames of a video, which may do differently at different steps of the loop."""

    def __call__(
        self, z_t: Float[Array, "F h w c"], t: Float[Array, ""], step: Int[Array, ""]
    ) -> Float[Array, "F h w c"]:
        """Predicts for the latents `z_t` at diffusion time `t`, the loop's step number `step` (0, 1, ..)."""
        ...


def sample(
    denoiser: VideoDenoiser, process: Process, key: Key[Array, ""], shape: tuple[int, int, int, int], **options: Any
) -> Float[Array, "F h w c"]:
    """Draws a video's latents: `sample_keeping`, whose options it takes, with nothing kept."""
    return sample_keeping(denoiser, process, key, shape, **options)[0]


def sample_keeping(
    denoiser: VideoDenoiser,
    process: Process,
    key: Key[Array, ""],
    shape: tuple[int, int, int, int],
    *,
    steps: int,
    solver: Solver = ANCESTRAL,
    spacing: Spacing = "trailing",
    start: Float[Array, "F h w c"] | None = None,
    strength: float = 1.0,
    frames: Int[Array, " F"] | None = None,
    clip_x0: float | None = None,
    on_step_end: Callable[[Int[Array, ""], Float[Array, "F h w c"]], None] | None = None,
    given: Given | None = None,
    impose: Impose | None = None,
    keep: Int[Array, " K"] | None = None,
) -> tuple[Float[Array, "F h w c"], Float[Array, "N K h w c"]]:
    """Draws a video's latents, and keeps the way of some frames. Pure, and to be compiled by the caller.

    The noise of a frame, at the start and at each step, depends on `key` and the frame's number alone: not on how the
    video is grouped, nor on its length.

    Args:
        denoiser: predicts what `process.prediction` says.
        process: the diffusion process it was trained with.
        key: root of all randomness.
        shape: (F, h, w, c).
        steps: denoising steps, of which `strength` may leave out the first.
        solver: how to take them. Stochastic solvers, as the default, keep groups alike far better than deterministic.
        spacing: which training steps they are, see `timesteps` and `karras_timesteps`.
        start: latents of a video to change: noise is added to them and taken out again (SDEdit, Meng et al. 2022).
        strength: share of the steps that are taken, the last ones: how far a video may leave `start`; 1 all the way.
        frames: numbers of the frames, for their noise; 0 .. F - 1 by default.
        clip_x0: clip every estimate of x_0 to [-clip_x0, clip_x0]; latents are not bounded, so off by default.
        on_step_end: called while the loop is traced, with the number of a step (0, 1, ..) and the latents after it. It
            may take them to the host by `jax.debug.callback`.
        given: frames whose latents are known; the others are sampled to go with them.
        impose: puts into the latents, before each step, what is known of them already.
        keep: indices of the frames whose way is kept; none by default.

    Returns:
        The video's latents, and the kept frames' latents as they were before each of the N steps taken.
    """
    times = timesteps_of(process, steps, spacing)[steps - steps_taken(steps, strength) :]
    frames = jnp.arange(shape[0]) if frames is None else frames
    keep = jnp.zeros(0, jnp.int32) if keep is None else keep
    start_key, steps_key = jax.random.split(key)

    def body(carry, xs):
        z_t, memory = carry
        step, t, s = xs
        z_t = z_t if impose is None else impose(z_t, step)
        x0 = process.to_x0(z_t, denoiser(z_t, t.astype(jnp.float32), step), t)
        if clip_x0 is not None:
            x0 = jnp.clip(x0, -clip_x0, clip_x0)
        x0 = x0 if given is None else given.put_into(x0)
        noise = frame_noise(jax.random.fold_in(steps_key, step), frames, shape[1:]) if solver.stochastic else None
        z_s, memory = solver(process.schedule, z_t, x0, t, s, noise, memory)
        if on_step_end is not None:
            on_step_end(step, z_s)
        return (z_s, memory), z_t[keep]

    z_T = frame_noise(start_key, frames, shape[1:])
    if start is not None:
        z_T = process.corrupt(start, z_T, times[0])
    if given is not None:
        z_T = given.put_into(z_T, process.corrupt(given.latents, frame_noise(start_key, frames, shape[1:]), times[0]))
    numbers = jnp.arange(len(times) - 1)
    (z_0, _), kept = jax.lax.scan(body, (z_T, solver.init(z_T)), (numbers, times[:-1], times[1:]))
    return z_0, kept


def steps_taken(steps: int, strength: float) -> int:
    """How many of `steps` a given strength takes: `steps` x `strength`, rounded, but one at least.

    Raises:
        ValueError: if the strength is not above 0 and at most 1.
    """
    if not 0 < strength <= 1:
        raise ValueError(f"strength must be above 0 and at most 1, not {strength}")
    return max(1, round(steps * strength))


def timesteps_of(process: Process, steps: int, spacing: Spacing) -> Int[Array, " {steps}+1"]:
    """The training steps to visit; see `timesteps`, and `karras_timesteps` for the spacing `karras`."""
    if spacing == "karras":
        return karras_timesteps(process.schedule, steps)
    return jnp.asarray(timesteps(process.schedule.num_steps, steps, spacing))


def karras_timesteps(schedule: Schedule, steps: int) -> Int[Array, " {steps}+1"]:
    """The training steps whose noise levels are nearest to Karras's (Karras et al. 2022, eq. 5), and -1 at the end.

    With sigma_t / alpha_t for their sigma, from the schedule's largest, but `KARRAS_LARGEST` at most, to its smallest.
    The first is the last training step, where noise is what the model was trained to begin with. No level is visited
    twice: where levels are sparse, neighbours are.

    Raises:
        ValueError: for steps outside 1 to the number of training steps.
    """
    if not 1 <= steps <= schedule.num_steps:
        raise ValueError(f"steps must be within 1 and {schedule.num_steps}, not {steps}")
    levels = schedule.sigma / schedule.alpha
    largest, smallest = jnp.minimum(levels[-1], KARRAS_LARGEST), levels[0]
    ramp = jnp.linspace(0, 1, steps)
    wanted = (largest ** (1 / KARRAS_RHO) * (1 - ramp) + smallest ** (1 / KARRAS_RHO) * ramp) ** KARRAS_RHO
    nearest = jnp.abs(jnp.log(levels) - jnp.log(wanted)[:, None]).argmin(1)
    numbers = jnp.arange(steps)
    falling = jax.lax.cummin((nearest + numbers).at[0].set(schedule.num_steps - 1)) - numbers
    times = jnp.maximum(falling, steps - 1 - numbers)  # room for those that follow
    return jnp.append(times, -1).astype(jnp.int32)


def timesteps(
    num_train_steps: int, steps: int, spacing: Literal["trailing", "leading", "linspace"]
) -> Int[np.ndarray, " {steps}+1"]:
    """The training steps to visit, falling, and -1 for clean data at the end (Lin et al. 2024, table 2).

    `trailing` and `linspace` start at the last training step, as zero terminal SNR requires; `leading` and `linspace`
    end at step 0. The times are the same for every solver, and a step goes from one to the next in the list.

        1000, 5, trailing: 999 799 599 399 199 -1
        1000, 5, leading:  800 600 400 200   0 -1
        1000, 5, linspace: 999 749 500 250   0 -1

    Raises:
        ValueError: for an unknown spacing, or steps outside 1 to `num_train_steps`.
    """
    if not 1 <= steps <= num_train_steps:
        raise ValueError(f"steps must be within 1 and {num_train_steps}, not {steps}")
    match spacing:
        case "trailing":
            times = np.round(np.arange(steps, 0, -1) * num_train_steps / steps) - 1
        case "leading":
            times = np.arange(steps)[::-1] * (num_train_steps // steps)
        case "linspace":
            times = np.round(np.linspace(0, num_train_steps - 1, steps))[::-1]
            times[0] = num_train_steps - 1  # of a single step too
        case _:
            raise ValueError(f"unknown spacing {spacing!r}: choose trailing, leading or linspace")
    return np.append(times, -1).astype(np.int32)


def frame_noise(key: Key[Array, ""], frames: Int[Array, " F"], shape: tuple[int, int, int]) -> Float[Array, "F h w c"]:
    """Standard normal noise of each frame, from its own key."""
    return jax.vmap(lambda frame: jax.random.normal(jax.random.fold_in(key, frame), shape))(frames)
