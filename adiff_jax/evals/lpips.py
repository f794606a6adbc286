"""LPIPS (Zhang et al. 2018, arXiv 1801.03924), version 0.1 on AlexNet: distance of pictures as people see it."""

import functools
import os
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, UInt8

from adiff_jax.evals.networks import LPIPS_HEADS, LPIPS_TRUNK, find_network
from adiff_jax.weights.sources import read_file

LPIPS = "learned perceptual distance, version 0.1 on AlexNet, at the pictures' own size; mean over frames"

BATCH = 16
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
# Of AlexNet's convolutions: their number in the published file, stride, padding, and whether pooling comes before.
LAYERS = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))

Weights = Mapping[str, Float[Array | np.ndarray, "..."]]


def load_lpips(folder: str | os.PathLike | None = None) -> dict[str, Float32[np.ndarray, "..."]]:
    """AlexNet's convolutions (`features.*`) and the weights of their channels (`lin*`).

    See `find_network` for where they are looked for, and the errors; reading them needs PyTorch (the extra `eval`).
    """
    trunk, heads = (read_file(find_network(file, folder)) for file in (LPIPS_TRUNK, LPIPS_HEADS))
    return {name: tensor for name, tensor in trunk.items() if name.startswith("features.")} | heads


def lpips(weights: Weights, a: UInt8[np.ndarray, "F H W 3"], b: UInt8[np.ndarray, "F H W 3"]) -> float:
    """See `LPIPS`; 0 is best; pictures of at least 35 x 35."""
    distances = []
    for start in range(0, len(a), BATCH):
        parts = [video[start : start + BATCH] for video in (a, b)]
        missing = BATCH - len(parts[0])
        padded = [np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) for part in parts]
        distances.append(np.asarray(_distances(weights, *padded))[: len(parts[0])])
    return float(np.concatenate(distances).mean())


@jax.jit
def _distances(weights: Weights, a: UInt8[Array, "N H W 3"], b: UInt8[Array, "N H W 3"]) -> Float[Array, "N"]:
    total = jnp.zeros(len(a))
    for layer, (of_a, of_b) in enumerate(zip(_features(weights, a), _features(weights, b))):
        channels = weights[f"lin{layer}.model.1.weight"][0, :, 0, 0]
        total += (jnp.square(_unit(of_a) - _unit(of_b)) @ channels).mean(axis=(1, 2))
    return total


def _features(weights, pictures):
    """What each convolution gives, after its rectifier."""
    x = (pictures.astype(jnp.float32) / 127.5 - 1 - jnp.asarray(SHIFT)) / jnp.asarray(SCALE)
    for number, stride, padding, pooled in LAYERS:
        if pooled:
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")
        kernel, bias = (weights[f"features.{number}.{name}"] for name in ("weight", "bias"))
        convolve = functools.partial(lax.conv_general_dilated, dimension_numbers=("NHWC", "OIHW", "NHWC"))
        x = jax.nn.relu(convolve(x, kernel, (stride, stride), [(padding, padding)] * 2) + bias)
        yield x


def _unit(x):
    return x / (jnp.sqrt(jnp.square(x).sum(axis=-1, keepdims=True)) + 1e-10)
