"""The forward process and what a denoiser predicts of it.

    x_0, epsilon ──corrupt──► z_t ──Denoiser──► prediction ──to_x0 / to_epsilon / to_v──► what a solver or loss needs

A prediction is one of (`t` has the leading axes of the data, or is a scalar)

    epsilon   the noise                                                  Ho et al. 2020
    v         alpha_t epsilon - sigma_t x_0                              Salimans and Ho 2022
    x0        the clean data
"""

from dataclasses import dataclass
from typing import Literal, get_args

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from adiff_jax.diffusion.schedules import SCHEDULES, Schedule, zero_terminal_snr

Prediction = Literal["epsilon", "v", "x0"]


@dataclass(frozen=True)
class DiffusionConfig:
    """The options of a diffusion process, and their only definition.

    Attributes:
        schedule: name in `schedules.SCHEDULES`.
        num_train_steps: number of noise levels.
        prediction: what the denoiser predicts.
        zero_terminal_snr: rescale the schedule so that its last step is pure noise.

    Raises:
        ValueError: for an unknown name, or an epsilon prediction at zero terminal SNR, where the noise says nothing
            about the data.
    """

    schedule: Literal["linear", "cosine", "scaled_linear"] = "linear"
    num_train_steps: int = 1000
    prediction: Prediction = "epsilon"
    zero_terminal_snr: bool = False

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ValueError(f"unknown schedule {self.schedule!r}: choose one of {', '.join(SCHEDULES)}")
        if self.prediction not in get_args(Prediction):
            raise ValueError(f"unknown prediction {self.prediction!r}: choose one of {', '.join(get_args(Prediction))}")
        if self.num_train_steps < 2:
            raise ValueError(f"num_train_steps must be at least 2, not {self.num_train_steps}")
        if self.zero_terminal_snr and self.prediction == "epsilon":
            raise ValueError("zero_terminal_snr needs prediction 'v' or 'x0': pure noise does not determine x0")


@flax.struct.dataclass
class Process:
    """A schedule and the kind of prediction a denoiser makes on it."""

    schedule: Schedule
    prediction: Prediction = flax.struct.field(pytree_node=False)

    @classmethod
    def create(cls, config: DiffusionConfig) -> "Process":
        """The process that `config` describes."""
        alphas_cumprod = SCHEDULES[config.schedule](config.num_train_steps)
        if config.zero_terminal_snr:
            alphas_cumprod = zero_terminal_snr(alphas_cumprod)
        return cls(schedule=Schedule.create(alphas_cumprod), prediction=config.prediction)

    def corrupt(
        self, x0: Float[Array, "*batch"], noise: Float[Array, "*batch"], t: Int[Array, "..."]
    ) -> Float[Array, "*batch"]:
        """z_t ~ q(z_t | x_0), with the given standard normal noise."""
        alpha, sigma = self._rates(t, x0)
        return alpha * x0 + sigma * noise

    def velocity(
        self, x0: Float[Array, "*batch"], noise: Float[Array, "*batch"], t: Int[Array, "..."]
    ) -> Float[Array, "*batch"]:
        """v_t = alpha_t epsilon - sigma_t x_0."""
        alpha, sigma = self._rates(t, x0)
        return alpha * noise - sigma * x0

    def target(
        self, x0: Float[Array, "*batch"], noise: Float[Array, "*batch"], t: Int[Array, "..."]
    ) -> Float[Array, "*batch"]:
        """What the denoiser should predict at z_t = corrupt(x0, noise, t)."""
        match self.prediction:
            case "epsilon":
                return noise
            case "v":
                return self.velocity(x0, noise, t)
            case "x0":
                return x0

    def to_x0(
        self, z_t: Float[Array, "*batch"], prediction: Float[Array, "*batch"], t: Int[Array, "..."]
    ) -> Float[Array, "*batch"]:
        """The clean data that `prediction` implies; defined at alpha_t = 0 for v and x0."""
        alpha, sigma = self._rates(t, z_t)
        match self.prediction:
            case "epsilon":
                return (z_t - sigma * prediction) / alpha
            case "v":
                return alpha * z_t - sigma * prediction
            case "x0":
                return prediction

    def to_epsilon(
        self, z_t: Float[Array, "*batch"], prediction: Float[Array, "*batch"], t: Int[Array, "..."]
    ) -> Float[Array, "*batch"]:
        """The noise that `prediction` implies."""
        alpha, sigma = self._rates(t, z_t)
        match self.prediction:
            case "epsilon":
                return prediction
            case "v":
                return sigma * z_t + alpha * prediction
            case "x0":
                return (z_t - alpha * prediction) / sigma

    def to_v(
        self, z_t: Float[Array, "*batch"], prediction: Float[Array, "*batch"], t: Int[Array, "..."]
    ) -> Float[Array, "*batch"]:
        """The velocity that `prediction` implies."""
        alpha, sigma = self._rates(t, z_t)
        match self.prediction:
            case "epsilon":
                return (prediction - sigma * z_t) / alpha
            case "v":
                return prediction
            case "x0":
                return (alpha * z_t - prediction) / sigma

    def _rates(self, t: Int[Array, "..."], x: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """alpha_t and sigma_t, with axes appended to broadcast against `x`."""
        alpha, sigma = self.schedule.at(t)
        trailing = tuple(range(t.ndim, x.ndim))
        return jnp.expand_dims(alpha, trailing), jnp.expand_dims(sigma, trailing)
