"""LPIPS against PyTorch's layers; Fréchet distances by hand; networks that come as TorchScript."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from adiff_jax.evals import frechet
from adiff_jax.evals.frechet import Gaussian, frechet_distance, i3d_features, inception_features, pieces
from adiff_jax.evals.lpips import LAYERS, SCALE, SHIFT, load_lpips, lpips
from adiff_jax.evals.networks import NetworkFile
from adiff_jax.evals.pictures import l1

SHAPES = ((64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3))


def random_weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Of AlexNet's convolutions and of LPIPS's channels, under their published names."""
    weights = {}
    for layer, ((number, *_), shape) in enumerate(zip(LAYERS, SHAPES)):
        weights[f"features.{number}.weight"] = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        weights[f"features.{number}.bias"] = rng.normal(0, 0.1, shape[0])
        weights[f"lin{layer}.model.1.weight"] = rng.uniform(0, 1, (1, shape[0], 1, 1))
    return {name: tensor.astype(np.float32) for name, tensor in weights.items()}


def test_lpips_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    from torch.nn import functional

    rng = np.random.default_rng(0)
    weights = random_weights(rng)
    a, b = rng.integers(0, 256, (2, 3, 64, 64, 3), dtype=np.uint8)

    def features(pictures: np.ndarray) -> list:
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        x = (x - torch.tensor(SHIFT)[:, None, None]) / torch.tensor(SCALE)[:, None, None]
        of_layers = []
        for number, stride, padding, pooled in LAYERS:
            x = functional.max_pool2d(x, 3, 2) if pooled else x
            kernel, bias = (torch.from_numpy(weights[f"features.{number}.{part}"]) for part in ("weight", "bias"))
            x = functional.relu(functional.conv2d(x, kernel, bias, stride, padding))
            of_layers.append(functional.normalize(x, dim=1, eps=1e-10))
        return of_layers

    expected = 0
    for layer, (of_a, of_b) in enumerate(zip(features(a), features(b))):
        head = torch.from_numpy(weights[f"lin{layer}.model.1.weight"])
        expected = expected + functional.conv2d((of_a - of_b) ** 2, head).mean()
    assert lpips(weights, a, b) == pytest.approx(float(expected), rel=1e-4)  # float32
    assert lpips(weights, a, a) == 0
    assert lpips(weights, a, b) == pytest.approx(lpips(weights, b, a), rel=1e-5)


def test_lpips_reads_the_published_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    weights = random_weights(np.random.default_rng(0))
    parts = {"LPIPS_TRUNK": ("features.", "trunk.pth"), "LPIPS_HEADS": ("lin", "heads.pth")}
    for name, (prefix, file) in parts.items():
        tensors = {key: torch.from_numpy(value) for key, value in weights.items() if key.startswith(prefix)}
        if prefix == "features.":
            tensors["classifier.1.weight"] = torch.zeros(2)
        torch.save(tensors, tmp_path / file)
        pin(monkeypatch, "adiff_jax.evals.lpips", name, tmp_path / file)
    read = load_lpips(tmp_path)
    assert read.keys() == weights.keys()
    for name, tensor in weights.items():
        np.testing.assert_array_equal(read[name], tensor)


def pin(monkeypatch: pytest.MonkeyPatch, module: str, name: str, file: Path) -> None:
    """Makes a file the published one."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(f"{module}.{name}", NetworkFile(name, file.name, "", digest))


def test_l1_by_hand() -> None:
    a = np.zeros((1, 2, 2, 3), np.uint8)
    assert l1(a, a + np.uint8(200)) == l1(a + np.uint8(200), a) == 200


def test_frechet_distance_by_hand() -> None:
    a = Gaussian(np.array([0.0, 0]), np.diag([4.0, 9.0]), 10)
    b = Gaussian(np.array([3.0, 4]), np.diag([1.0, 1.0]), 10)
    assert frechet_distance(a, b) == pytest.approx(25 + (2 - 1) ** 2 + (3 - 1) ** 2)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_features() -> None:
    features = np.random.default_rng(0).normal(size=(200, 4))
    gaussian = Gaussian.of(features)
    assert gaussian.count == 200
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    other = Gaussian.of(features * [1, 2, 1, 1] + 1)
    turned = frechet_distance(Gaussian.of(features @ turn), Gaussian.of((features * [1, 2, 1, 1] + 1) @ turn))
    assert frechet_distance(gaussian, other) == pytest.approx(turned)
    with pytest.raises(ValueError, match="two examples or more"):
        Gaussian.of(features[:1])


def test_fewer_examples_than_features() -> None:
    rng = np.random.default_rng(0)
    a, b = (Gaussian.of(rng.normal(size=(10, 50))) for _ in range(2))
    assert frechet_distance(a, b) > 0
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-5)  # roots of rounding errors


def test_networks_are_given_what_they_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")

    class Inception(torch.nn.Module):
        def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
            assert return_features and x.dtype == torch.uint8 and x.shape[1] == 3
            return x.float().mean(dim=(2, 3))

    class I3D(torch.nn.Module):
        def forward(
            self, x: torch.Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
        ) -> torch.Tensor:
            assert rescale and resize and return_features and x.shape[1] == 3 and x.shape[2] == 16
            return x.mean(dim=(3, 4)).flatten(1)

    for name, module in (("INCEPTION", Inception), ("I3D", I3D)):
        torch.jit.script(module()).save(tmp_path / f"{name}.pt")
        pin(monkeypatch, "adiff_jax.evals.frechet", name, tmp_path / f"{name}.pt")
    videos = np.random.default_rng(0).integers(0, 256, (2, 35, 8, 8, 3), dtype=np.uint8)
    frames = videos.reshape(-1, 8, 8, 3)
    # float32 sums of 64 values
    np.testing.assert_allclose(inception_features(tmp_path)(frames), frames.mean(axis=(1, 2)), rtol=1e-5)
    cut = pieces(videos)
    np.testing.assert_array_equal(cut[1], videos[0, 16:32])
    assert cut.shape == (4, frechet.PIECE, 8, 8, 3)
    features = i3d_features(tmp_path)(cut)
    np.testing.assert_allclose(features[1].reshape(3, 16), videos[0, 16:32].mean(axis=(1, 2)).T, rtol=1e-5)
    with pytest.raises(ValueError, match="16 frames or more"):
        pieces([videos[0, :15]])
