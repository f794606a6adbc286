"""Classifier-free guidance with separate weights for person and motion; wraps a `Denoiser` into a `Denoiser`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from adiff_jax.types import Conditioning, Denoiser


def guided(denoiser: Denoiser, clip_weight: float, landmarks_weight: float) -> Denoiser:
    """Guides person and motion apart.

    The prediction is, with w the two weights,

        e(0, 0) + w_landmarks [e(landmarks, 0) - e(0, 0)] + w_clip [e(landmarks, clip) - e(landmarks, 0)]

    (the two-condition form of Brooks et al. 2023, eq. 3). Weights of 1 give the conditional prediction, of 0 the
    unconditional one. The branches run as one batch, those of one sequence side by side, and a branch whose
    coefficient is zero does not run at all: equal weights cost two branches, weights of (1, 1) or (0, 0) one.
    """
    branches = [  # coefficient, is CLIP given, are landmarks given
        (1 - landmarks_weight, False, False),
        (landmarks_weight - clip_weight, False, True),
        (clip_weight, True, True),
    ]
    coefficients, clip_given, landmarks_given = zip(*(branch for branch in branches if branch[0] != 0), strict=True)
    num_branches = len(coefficients)

    def denoise(z_t: Float[Array, "B S h w c"], t: Float[Array, " B"], cond: Conditioning) -> Float[Array, "B S h w c"]:
        z_t, t, cond = jax.tree.map(lambda x: jnp.repeat(x, num_branches, axis=0), (z_t, t, cond))
        batch_size = z_t.shape[0] // num_branches
        cond = cond.replace(
            clip_mask=cond.clip_mask & jnp.tile(jnp.asarray(clip_given), batch_size),
            landmarks_mask=cond.landmarks_mask & jnp.tile(jnp.asarray(landmarks_given), batch_size),
        )
        predictions = denoiser(z_t, t, cond)
        predictions = predictions.reshape(batch_size, num_branches, *predictions.shape[1:])
        return sum(coefficient * predictions[:, i] for i, coefficient in enumerate(coefficients))

    return denoise
