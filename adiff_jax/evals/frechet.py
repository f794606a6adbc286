"""FID and FVD: Fréchet distances between sets of pictures (Heusel et al. 2017) and of videos (Unterthiner et al. 2018).

Their networks are the published TorchScript files, which do their own resizing: numbers of other tools that use the
same files are comparable, those of other ports are not.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float, UInt8

from adiff_jax.evals.networks import I3D, INCEPTION, NetworkError, NetworkFile, find_network

FID = (
    "Fréchet distance of Inception's 2048 features (the network of 2015-12-05) between all frames of the videos and "
    "all of the references; the network resizes to 299 x 299 (bilinear)"
)
FVD = (
    "Fréchet distance of I3D's 400 outputs (Kinetics-400, that of StyleGAN-V) between pieces of 16 frames in a row of "
    "the videos and of the references, as many as fit; the network resizes to 224 x 224 (bilinear)"
)
PIECE = 16
BATCH = 16

Features = Callable[[UInt8[np.ndarray, "..."]], Float[np.ndarray, "N D"]]


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of features, and how many they were."""

    mean: Float[np.ndarray, "D"]
    covariance: Float[np.ndarray, "D D"]
    count: int

    @classmethod
    def of(cls, features: Float[np.ndarray, "N D"]) -> "Gaussian":
        """The Gaussian of a set of features.

        Raises:
            ValueError: there are fewer than two.
        """
        if len(features) < 2:
            raise ValueError(f"a Fréchet distance needs two examples or more on each side, not {len(features)}")
        features = np.asarray(features, np.float64)
        return cls(features.mean(axis=0), np.cov(features, rowvar=False), len(features))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)); 0 is best. With few examples it is biased upwards."""
    eigenvalues = np.linalg.eigvals(a.covariance @ b.covariance)  # of a product of two covariances: real, none below 0
    root = np.sqrt(np.clip(eigenvalues.real, 0, None)).sum()
    return float(np.square(a.mean - b.mean).sum() + np.trace(a.covariance) + np.trace(b.covariance) - 2 * root)


def inception_features(folder: str | os.PathLike | None = None) -> Features:
    """Inception's features of pictures, uint8 [N, H, W, 3]; see `find_network` for the file, and the errors."""
    network = _load(INCEPTION, folder)

    def features(pictures: UInt8[np.ndarray, "N H W 3"]) -> Float[np.ndarray, "N D"]:
        return _in_batches(network, np.moveaxis(pictures, -1, 1), return_features=True)

    return features


def i3d_features(folder: str | os.PathLike | None = None) -> Features:
    """I3D's outputs for pieces of videos, uint8 [N, 16, H, W, 3]; see `find_network` for the file, and the errors."""
    network = _load(I3D, folder)

    def features(videos: UInt8[np.ndarray, "N T H W 3"]) -> Float[np.ndarray, "N D"]:
        moved = np.moveaxis(videos, -1, 1).astype(np.float32)
        return _in_batches(network, moved, rescale=True, resize=True, return_features=True)

    return features


def pieces(videos: Iterable[UInt8[np.ndarray, "F H W 3"]]) -> UInt8[np.ndarray, "N 16 H W 3"]:
    """Pieces of `PIECE` frames in a row, one after the other, of each video; what is left over at ends is not used.

    Raises:
        ValueError: no video is as long as a piece.
    """
    cut = [video[start : start + PIECE] for video in videos for start in range(0, len(video) - PIECE + 1, PIECE)]
    if not cut:
        raise ValueError(f"FVD needs videos of {PIECE} frames or more")
    return np.stack(cut)


def _load(network: NetworkFile, folder: str | os.PathLike | None):
    try:
        import torch
    except ImportError as error:
        raise NetworkError(f"{network.name} needs PyTorch: install the extra `eval`") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.jit.load(str(find_network(network, folder)), map_location=device).eval()


def _in_batches(network, arrays: np.ndarray, **options: bool) -> Float[np.ndarray, "N D"]:
    import torch

    device = next(iter(network.parameters()), torch.empty(0)).device
    with torch.no_grad():
        parts = [
            network(torch.from_numpy(np.ascontiguousarray(arrays[start : start + BATCH])).to(device), **options)
            for start in range(0, len(arrays), BATCH)
        ]
    return torch.cat(parts).double().cpu().numpy()
