"""The face descriptor's file format, and its layers against PyTorch's."""

import json
from pathlib import Path

import numpy as np
import pytest

from adiff_jax.evals.descriptor import MEAN, SIZE, STAGES, describe, read_quantised


def test_tensors_are_read_one_after_the_other(tmp_path: Path) -> None:
    quantised, plain = np.array([0, 2, 255, 1], np.uint8), np.array([1.5, -2], np.float32)
    (tmp_path / "weights.bin").write_bytes(quantised.tobytes() + plain.tobytes())
    tensors = [
        {"name": "a", "shape": [2, 2], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1}},
        {"name": "b", "shape": [2], "dtype": "float32"},
    ]
    (tmp_path / "manifest.json").write_text(json.dumps([{"weights": tensors, "paths": ["weights.bin"]}]))
    read = read_quantised(tmp_path / "manifest.json", tmp_path / "weights.bin")
    np.testing.assert_array_equal(read["a"], [[-1, 0], [126.5, -0.5]])
    np.testing.assert_array_equal(read["b"], plain)


def random_weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    weights = {}

    def convolution(name: str, side: int, inputs: int, outputs: int) -> None:
        deviation = (2 / (side * side * inputs)) ** 0.5
        weights[f"{name}/conv/filters"] = rng.normal(0, deviation, (side, side, inputs, outputs))
        weights[f"{name}/conv/bias"] = rng.normal(0, 0.1, outputs)
        weights[f"{name}/scale/weights"] = rng.uniform(0.5, 1, outputs)
        weights[f"{name}/scale/biases"] = rng.normal(0, 0.1, outputs)

    convolution("conv32_down", 7, 3, 32)
    width = 32
    blocks = [
        (f"{stage}_{number}", int(stage[4:])) for stage, count in STAGES for number in ("down", *range(1, count + 1))
    ]
    for name, outputs in [*blocks[1:], ("conv256_down_out", 256)]:  # the first stage has no strided block
        convolution(f"{name}/conv1", 3, width, outputs)
        convolution(f"{name}/conv2", 3, outputs, outputs)
        width = outputs
    weights["fc"] = rng.normal(0, 0.1, (256, 128))
    return {name: tensor.astype(np.float32) for name, tensor in weights.items()}


def test_layers_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    from torch.nn import functional

    rng = np.random.default_rng(0)
    weights = random_weights(rng)
    chips = rng.integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)

    def convolve(name: str, x, stride: int = 1):
        filters, bias, scale, offset = (
            torch.from_numpy(weights[f"{name}/{part}"])
            for part in ("conv/filters", "conv/bias", "scale/weights", "scale/biases")
        )
        y = functional.conv2d(x, filters.permute(3, 2, 0, 1), bias, stride, padding=1 if stride == 1 else 0)
        return y * scale[:, None, None] + offset[:, None, None]

    def block(name: str, x, stride: int = 1):
        y = convolve(f"{name}/conv2", functional.relu(convolve(f"{name}/conv1", x, stride)))
        if stride == 2:
            x = functional.avg_pool2d(x, 2)
            wide = torch.zeros(len(x), y.shape[1], x.shape[2], x.shape[3])
            wide[:, : x.shape[1]] = x
            tall = torch.zeros_like(wide)
            tall[:, :, : y.shape[2], : y.shape[3]] = y
            x, y = wide, tall
        return functional.relu(x + y)

    x = (torch.from_numpy(chips).permute(0, 3, 1, 2).float() - torch.tensor(MEAN)[:, None, None]) / 256
    x = functional.max_pool2d(functional.relu(convolve("conv32_down", x, 2)), 3, 2)
    for name in ("conv32_1", "conv32_2", "conv32_3"):
        x = block(name, x)
    for stage, count in STAGES[1:]:
        x = block(f"{stage}_down", x, 2)
        for number in range(count):
            x = block(f"{stage}_{number + 1}", x)
    x = block("conv256_down_out", x, 2)
    expected = (x.mean(dim=(2, 3)) @ torch.from_numpy(weights["fc"])).numpy()
    # float32 through 29 layers in another order of summation.
    np.testing.assert_allclose(describe(weights, chips), expected, rtol=2e-3, atol=2e-4 * np.abs(expected).max())
