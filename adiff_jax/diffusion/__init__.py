"""The mathematics of diffusion, without networks: schedules, the forward process, losses, guidance."""

from adiff_jax.diffusion.guidance import guided
from adiff_jax.diffusion.losses import RegionWeights, landmark_weights, min_snr_weight, weighted_mse
from adiff_jax.diffusion.process import DiffusionConfig, Prediction, Process
from adiff_jax.diffusion.schedules import Schedule

__all__ = [
    "DiffusionConfig",
    "Prediction",
    "Process",
    "RegionWeights",
    "Schedule",
    "guided",
    "landmark_weights",
    "min_snr_weight",
    "weighted_mse",
]
