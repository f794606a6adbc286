"""dlib's face descriptor (King 2017), for identities of real faces: a ResNet of 29 layers, 128 numbers a face.

Its weights are those that face-api publishes: tensors of 8 bits and a manifest with scale and offset of each.
"""

import functools
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, UInt8

from adiff_jax.evals.networks import DESCRIPTOR_MANIFEST, DESCRIPTOR_WEIGHTS, find_network

SIZE = 150
PADDING = 0.25
MEAN = (122.782, 117.001, 104.298)
STAGES = (("conv32", 3), ("conv64", 3), ("conv128", 2), ("conv256", 2))

Weights = Mapping[str, Float[Array | np.ndarray, "..."]]


def load_descriptor(folder: str | os.PathLike | None = None) -> dict[str, Float32[np.ndarray, "..."]]:
    """The descriptor's tensors; see `find_network` for where they are looked for, and the errors."""
    manifest, weights = (find_network(file, folder) for file in (DESCRIPTOR_MANIFEST, DESCRIPTOR_WEIGHTS))
    return read_quantised(manifest, weights)


def read_quantised(manifest: Path, weights: Path) -> dict[str, Float32[np.ndarray, "..."]]:
    """Tensors of a TensorFlow.js manifest: laid end to end, value = quantum * scale + min where quantised."""
    data, tensors, start = weights.read_bytes(), {}, 0
    for tensor in (tensor for group in json.loads(manifest.read_text()) for tensor in group["weights"]):
        quantisation = tensor.get("quantization", {})
        count = math.prod(tensor["shape"])
        raw = np.frombuffer(data, quantisation.get("dtype", tensor["dtype"]), count, start)
        values = raw.astype(np.float32)
        if quantisation:
            values = values * np.float32(quantisation["scale"]) + np.float32(quantisation["min"])
        tensors[tensor["name"]] = values.reshape(tensor["shape"])
        start += raw.nbytes
    return tensors


@functools.partial(jax.jit)
def describe(weights: Weights, chips: UInt8[Array | np.ndarray, "N 150 150 3"]) -> Float[Array, "N 128"]:
    """Descriptors of face chips of `SIZE` with `PADDING` (see `media.chips`); not of unit length.

    Two pictures of a person are about 0.3 apart, of different persons 0.7 or more (L2).
    """
    x = (chips.astype(jnp.float32) - jnp.asarray(MEAN)) / 256
    x = jax.nn.relu(_convolve(weights, "conv32_down", x, stride=2))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")
    for index, (stage, blocks) in enumerate(STAGES):
        if index:
            x = _block(weights, f"{stage}_down", x, stride=2)
        for block in range(blocks):
            x = _block(weights, f"{stage}_{block + 1}", x)
    x = _block(weights, "conv256_down_out", x, stride=2)
    return x.mean(axis=(1, 2)) @ weights["fc"]


def _block(weights, name, x, stride=1):
    """A residual block; a strided one halves its shortcut by averaging, and zeros fill whatever is smaller."""
    y = jax.nn.relu(_convolve(weights, f"{name}/conv1", x, stride))
    y = _convolve(weights, f"{name}/conv2", y)
    if stride == 2:
        x = lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4
    shape = np.maximum(x.shape, y.shape)
    x, y = (jnp.pad(array, [(0, more) for more in shape - array.shape]) for array in (x, y))
    return jax.nn.relu(x + y)


def _convolve(weights, name, x, stride=1):
    kernel = weights[f"{name}/conv/filters"]
    padding = "SAME" if stride == 1 else "VALID"
    y = lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    y = y + weights[f"{name}/conv/bias"]
    return y * weights[f"{name}/scale/weights"] + weights[f"{name}/scale/biases"]
