"""Noise schedules: how much signal and how much noise is left at every training step.

    z_t = alpha_t x_0 + sigma_t epsilon,        alpha_t^2 + sigma_t^2 = 1,        t = 0 .. num_steps - 1

In the notation of DDPM (Ho et al. 2020), alpha_t^2 is the cumulative product of 1 - beta. Everything is computed in
float64 and rounded once, since 1 - alpha_t^2 cannot be recovered from a rounded alpha_t near t = 0.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

MAX_BETA = 0.999


@flax.struct.dataclass
class Schedule:
    """Signal and noise rates at each training step; t = -1 stands for clean data.

    Attributes:
        alpha: signal rates, positive (0 at the last step of a zero-terminal-SNR schedule), falling.
        sigma: noise rates, positive, rising.
    """

    alpha: Float[Array, " num_steps"]
    sigma: Float[Array, " num_steps"]

    @classmethod
    def create(cls, alphas_cumprod: Float[np.ndarray, " num_steps"]) -> "Schedule":
        """The schedule with alpha_t^2 = `alphas_cumprod`, given in float64."""
        return cls(
            alpha=jnp.asarray(np.sqrt(alphas_cumprod), jnp.float32),
            sigma=jnp.asarray(np.sqrt(1.0 - alphas_cumprod), jnp.float32),
        )

    @property
    def num_steps(self) -> int:
        """Number of training steps."""
        return self.alpha.shape[0]

    def at(self, t: Int[Array, "*batch"]) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        """(alpha_t, sigma_t) for -1 <= t < num_steps; (1, 0) at t = -1."""
        return jnp.where(t < 0, 1.0, self.alpha[t]), jnp.where(t < 0, 0.0, self.sigma[t])

    def snr(self, t: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Signal-to-noise ratio alpha_t^2 / sigma_t^2; infinite at t = -1."""
        alpha, sigma = self.at(t)
        return jnp.square(alpha / sigma)


def linear(num_steps: int) -> Float[np.ndarray, " num_steps"]:
    """DDPM's and DiT's schedule: beta from 1e-4 to 0.02 at 1000 steps, scaled to keep the endpoint at other counts."""
    scale = 1000 / num_steps
    return _alphas_cumprod(scale * np.linspace(1e-4, 0.02, num_steps))


def scaled_linear(num_steps: int) -> Float[np.ndarray, " num_steps"]:
    """Stable Diffusion's schedule: sqrt(beta) linear, beta from 0.00085 to 0.012 at 1000 steps, scaled as `linear`."""
    scale = 1000 / num_steps
    return _alphas_cumprod(scale * np.linspace(0.00085**0.5, 0.012**0.5, num_steps) ** 2)


def cosine(num_steps: int) -> Float[np.ndarray, " num_steps"]:
    """Squared-cosine schedule (Nichol and Dhariwal 2021, eq. 17), offset 0.008."""
    angle = (np.arange(num_steps + 1) / num_steps + 0.008) / 1.008 * np.pi / 2
    signal = np.cos(angle) ** 2
    return _alphas_cumprod(1 - signal[1:] / signal[:-1])


def zero_terminal_snr(alphas_cumprod: Float[np.ndarray, " num_steps"]) -> Float[np.ndarray, " num_steps"]:
    """Shifts and scales alpha so that the last step is pure noise and the first is kept (Lin et al. 2024, alg. 1)."""
    alpha = np.sqrt(alphas_cumprod)
    return ((alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])) ** 2


def _alphas_cumprod(betas: Float[np.ndarray, " num_steps"]) -> Float[np.ndarray, " num_steps"]:
    return np.cumprod(1 - np.minimum(betas, MAX_BETA))


SCHEDULES: Mapping[str, Callable[[int], np.ndarray]] = MappingProxyType(
    {"linear": linear, "cosine": cosine, "scaled_linear": scaled_linear}
)
