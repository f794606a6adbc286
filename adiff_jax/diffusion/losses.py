"""The landmark-weighted denoising loss, at latent or at pixel resolution."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from adiff_jax.diffusion.process import Process

# Outlines in MediaPipe's face mesh, in the subject's left and right.
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)

NUM_DIRECTIONS = 32


@dataclass(frozen=True)
class RegionWeights:
    """How much more the face counts than what surrounds it, which counts 1 (before the mean is set to 1).

    Attributes:
        face: weight inside the hull of all landmarks.
        features: weight on the eyes and the mouth.
        dilation: by how much eyes and mouth are grown, in half widths of the crop.
    """

    face: float = 2.0
    features: float = 4.0
    dilation: float = 0.08


def landmark_weights(
    landmarks: Float[Array, "*batch K 2"], size: tuple[int, int], regions: RegionWeights
) -> Float[Array, "*batch h w"]:
    """Per-frame weight map of the loss (paper: landmark-weighted mean-square error), of mean 1 over each frame.

    Args:
        landmarks: x and y in [-1, 1] over the crop, x right, y down; points outside it are fine.
        size: (h, w) of the map: cell (0, 0) covers the crop's upper left corner.
        regions: the weights.
    """
    face = _coverage(landmarks, size, dilation=0.0)
    features = jnp.maximum(
        jnp.maximum(
            _coverage(landmarks[..., RIGHT_EYE, :], size, regions.dilation),
            _coverage(landmarks[..., LEFT_EYE, :], size, regions.dilation),
        ),
        _coverage(landmarks[..., LIPS, :], size, regions.dilation),
    )
    weights = 1 + (regions.face - 1) * face
    weights = weights + (regions.features - weights) * features
    return weights / weights.mean((-2, -1), keepdims=True)


def _coverage(points: Float[Array, "*batch P 2"], size: tuple[int, int], dilation: float) -> Float[Array, "*batch h w"]:
    """Share of each cell inside the convex hull of `points` grown by `dilation`, to within half a cell at the border.

    The hull is the intersection of half planes u . p <= max_k u . points_k over directions u, here a regular fan: no
    polygon is traced, so that outlines may fold over themselves (as a profile's do), and growing adds a constant.
    """
    h, w = size
    angles = np.arange(NUM_DIRECTIONS) * (2 * np.pi / NUM_DIRECTIONS)
    cos, sin = jnp.asarray(np.cos(angles), points.dtype), jnp.asarray(np.sin(angles), points.dtype)
    x = (2 * jnp.arange(w, dtype=points.dtype) + 1) / w - 1
    y = (2 * jnp.arange(h, dtype=points.dtype) + 1) / h - 1

    support = (points[..., 0, None] * cos + points[..., 1, None] * sin).max(-2)  # [*batch directions]
    along = y[:, None, None] * sin + x[:, None] * cos  # [h w directions]
    distance = (along - support[..., None, None, :]).max(-1) - dilation
    return jnp.clip(0.5 - distance * max(h, w) / 2, 0, 1)


def weighted_mse(
    prediction: Float[Array, "B *rest C"], target: Float[Array, "B *rest C"], weights: Float[Array, "B *rest"]
) -> Float[Array, " B"]:
    """Mean over each sequence (or picture) of the squared error, weighted by position.

    With `weights` from `landmark_weights` it stays on the scale of the plain mean-square error.
    """
    error = jnp.square(prediction - target).mean(-1) * weights
    return error.mean(tuple(range(1, error.ndim)))


def min_snr_weight(process: Process, t: Int[Array, " B"], gamma: float) -> Float[Array, " B"]:
    """Min-SNR-gamma weight of the mean-square error of the process's prediction (Hang et al. 2023, eq. 8).

    All three are min(SNR, gamma) on the error of x_0: min(SNR, gamma) / SNR for epsilon, min(SNR, gamma) / (SNR + 1)
    for v.
    """
    alpha, sigma = process.schedule.at(t)
    clamped = jnp.minimum(jnp.square(alpha), gamma * jnp.square(sigma))
    match process.prediction:
        case "epsilon":
            return clamped / jnp.square(alpha)
        case "v":
            return clamped
        case "x0":
            return clamped / jnp.square(sigma)
