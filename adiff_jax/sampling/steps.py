"""Solvers: one step from z_t to z_s, s < t, given the estimate of x_0 at t.

Every solver is affine in x_0 and acts on each element alone, so that it need not know of frames or groups.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from adiff_jax.diffusion.schedules import Schedule

Memory = Any


class Solver:
    """What the sampling loop asks of a solver.

    Attributes:
        stochastic: whether steps use noise; where False the loop draws none and passes None.
    """

    stochastic: bool = True

    def init(self, z_t: Float[Array, "*batch"]) -> Memory:
        """What a multistep solver keeps of earlier steps, before the first; nothing by default."""
        return None

    def __call__(
        self,
        schedule: Schedule,
        z_t: Float[Array, "*batch"],
        x0: Float[Array, "*batch"],
        t: Int[Array, ""],
        s: Int[Array, ""],
        noise: Float[Array, "*batch"] | None,
        memory: Memory,
    ) -> tuple[Float[Array, "*batch"], Memory]:
        """z_s and the next memory; s = -1 is the end, where z_s = x_0."""
        raise NotImplementedError


@dataclass(frozen=True)
class DDIM(Solver):
    """DDIM (Song et al. 2021, eq. 12 and 16, in signal-to-noise ratios, where nothing cancels in float32).

    Epsilon is what z_t and x_0 imply, also where x_0 was clipped: so eta = 1 remains DDPM.

    Attributes:
        eta: 0 is deterministic, 1 has the variance of DDPM.

    Raises:
        ValueError: if eta is not within 0 and 1.
    """

    eta: float = 1.0

    def __post_init__(self) -> None:
        _check_eta(self.eta)

    @property
    def stochastic(self) -> bool:
        """Whether eta is above 0."""
        return self.eta > 0

    def __call__(self, schedule, z_t, x0, t, s, noise, memory):
        """alpha_s x_0 + sqrt(sigma_s^2 - f^2) epsilon + f noise, with f the eta-fold deviation of DDPM."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.at(t), schedule.at(s)
        epsilon = (z_t - alpha_t * x0) / sigma_t
        snr_ratio = jnp.square(alpha_t / sigma_t * sigma_s / alpha_s)
        z_s = alpha_s * x0 + sigma_s * jnp.sqrt((1 - self.eta**2) + self.eta**2 * snr_ratio) * epsilon
        if self.stochastic:
            z_s += self.eta * sigma_s * jnp.sqrt(1 - snr_ratio) * noise
        return z_s, memory


@dataclass(frozen=True)
class DDPM(Solver):
    """Ancestral sampling from the posterior q(z_s | z_t, x_0) (Ho et al. 2020, eq. 6 and 7): the smaller variance."""

    def __call__(self, schedule, z_t, x0, t, s, noise, memory):
        """The mean of q(z_s | z_t, x_0), and noise of its deviation."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.at(t), schedule.at(s)
        snr_ratio = jnp.square(alpha_t / sigma_t * sigma_s / alpha_s)  # 1 - beta / sigma_t^2
        mean = alpha_s * (1 - snr_ratio) * x0 + alpha_t / alpha_s * jnp.square(sigma_s / sigma_t) * z_t
        return mean + sigma_s * jnp.sqrt(1 - snr_ratio) * noise, memory


@dataclass(frozen=True)
class DPMSolverPlusPlus2M(Solver):
    """DPM-Solver++(2M) (Lu et al. 2022, alg. 2 and appendix on stochastic solvers): second order, for few steps.

    Of first order, which for eta 0 and 1 is DDIM of the same eta, are the first step and those that reach to a log
    signal-to-noise ratio which is not finite: the last, and the second of a zero-terminal-SNR schedule.

    Attributes:
        eta: 0 solves the probability flow, 1 the reverse diffusion (SDE-DPM-Solver++), which keeps groups alike.

    Raises:
        ValueError: if eta is not within 0 and 1.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        _check_eta(self.eta)

    @property
    def stochastic(self) -> bool:
        """Whether eta is above 0."""
        return self.eta > 0

    def init(self, z_t: Float[Array, "*batch"]) -> Memory:
        """x_0 and log(alpha / sigma) of the step before: none yet, which a ratio of -inf makes count nothing."""
        return jnp.zeros_like(z_t), jnp.asarray(-jnp.inf)

    def __call__(self, schedule, z_t, x0, t, s, noise, memory):
        """Exponential integration with x_0 extrapolated linearly in log(alpha / sigma)."""
        x0_before, lambda_before = memory
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.at(t), schedule.at(s)
        lambda_t, lambda_s = jnp.log(alpha_t / sigma_t), jnp.log(alpha_s / sigma_s)
        ratio = (lambda_s - lambda_t) / (lambda_t - lambda_before)
        extrapolation = jnp.where(jnp.isfinite(ratio), ratio / 2, 0)
        data = x0 + extrapolation * (x0 - x0_before)
        decay = alpha_t / sigma_t * sigma_s / alpha_s  # exp(-h), h = lambda_s - lambda_t
        z_s = sigma_s / sigma_t * decay**self.eta * z_t + alpha_s * (1 - decay ** (1 + self.eta)) * data
        if self.stochastic:
            z_s += sigma_s * jnp.sqrt(1 - decay ** (2 * self.eta)) * noise
        return z_s, (x0, lambda_t)


def _check_eta(eta: float) -> None:
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be within 0 and 1, not {eta}")
