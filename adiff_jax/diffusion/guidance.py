"""Classifier-free guidance with separate weights for person and motion; wraps a `Denoiser` into a `Denoiser`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from adiff_jax.types import Conditioning, Denoiser

ALWAYS = (0.0, 1.0)


def guided(
    denoiser: Denoiser,
    clip_weight: float,
    landmarks_weight: float,
    interval: tuple[float, float] = ALWAYS,
    num_train_steps: int = 1000,
) -> Denoiser:
    """Guides person and motion apart.

    The prediction is, with w the two weights,

        e(0, 0) + w_landmarks [e(landmarks, 0) - e(0, 0)] + w_clip [e(landmarks, clip) - e(landmarks, 0)]

    (the two-condition form of Brooks et al. 2023, eq. 3). Weights of 1 give the conditional prediction, of 0 the
    unconditional one. The branches run as one batch, those of one sequence side by side, and a branch whose
    coefficient is zero does not run at all: equal weights cost two branches, weights of (1, 1) or (0, 0) one.

    Args:
        denoiser: what is guided.
        clip_weight: weight of the person.
        landmarks_weight: weight of the motion.
        interval: where guidance acts (Kynkäänniemi et al. 2024): diffusion times from the first to the second, as
            fractions of `num_train_steps`. Elsewhere the prediction is the conditional one, at the cost of one branch
            when no sequence of the batch is inside.
        num_train_steps: number of diffusion times.

    Raises:
        ValueError: if the interval is not two rising fractions within 0 and 1.
    """
    low, high = interval
    if not 0 <= low <= high <= 1:
        raise ValueError(f"a guidance interval is two rising fractions within 0 and 1, not {low} and {high}")
    always = interval == ALWAYS or (clip_weight, landmarks_weight) == (1, 1)
    branches = [  # coefficient inside the interval and outside, is CLIP given, are landmarks given
        (1 - landmarks_weight, 0, False, False),
        (landmarks_weight - clip_weight, 0, False, True),
        (clip_weight, 0 if always else 1, True, True),
    ]
    counting = [branch for branch in branches if any(branch[:2])]
    within, beyond, clip_given, landmarks_given = map(jnp.asarray, zip(*counting, strict=True))
    num_branches = len(counting)

    def inside(t: Float[Array, " B"]) -> Bool[Array, " B"]:
        return (low * num_train_steps <= t) & (t <= high * num_train_steps) | always

    def guide(z_t: Float[Array, "B S h w c"], t: Float[Array, " B"], cond: Conditioning) -> Float[Array, "B S h w c"]:
        coefficients = jnp.where(inside(t)[:, None], within, beyond)
        z_t, t, cond = jax.tree.map(lambda x: jnp.repeat(x, num_branches, axis=0), (z_t, t, cond))
        batch_size = len(coefficients)
        cond = cond.replace(
            clip_mask=cond.clip_mask & jnp.tile(clip_given, batch_size),
            landmarks_mask=cond.landmarks_mask & jnp.tile(landmarks_given, batch_size),
        )
        predictions = denoiser(z_t, t, cond)
        predictions = predictions.reshape(batch_size, num_branches, *predictions.shape[1:])
        result = sum(coefficients[:, i, None, None, None, None] * predictions[:, i] for i in range(num_branches))
        return result.astype(predictions.dtype)

    def denoise(z_t: Float[Array, "B S h w c"], t: Float[Array, " B"], cond: Conditioning) -> Float[Array, "B S h w c"]:
        return jax.lax.cond(inside(t).any(), guide, denoiser, z_t, t, cond)

    return guide if always else denoise
