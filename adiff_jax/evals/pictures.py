"""L1, PSNR and SSIM between pictures."""

import numpy as np
from jaxtyping import Float, UInt8
from numpy.lib.stride_tricks import sliding_window_view

L1 = "mean absolute difference over all frames, pixels and channels, 0 to 255"
PSNR = "peak signal to noise ratio in dB, of the mean square error over all frames, pixels and channels (peak 255)"
SSIM = (
    "structural similarity (Wang et al. 2004) of the luma (BT.601), Gaussian window 11x11 with sigma 1.5, K = 0.01, "
    "0.03, mean over frames"
)

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def l1(a: UInt8[np.ndarray, "*F H W 3"], b: UInt8[np.ndarray, "*F H W 3"]) -> float:
    """See `L1`; 0 for equal pictures."""
    return float(np.abs(a.astype(np.int16) - b).mean())


def psnr(a: UInt8[np.ndarray, "*F H W 3"], b: UInt8[np.ndarray, "*F H W 3"]) -> float:
    """See `PSNR`; infinite for equal pictures."""
    error = np.square(a.astype(np.float64) - b).mean()
    return float(10 * np.log10(255.0**2 / error)) if error else float("inf")


def ssim(a: UInt8[np.ndarray, "*F H W 3"], b: UInt8[np.ndarray, "*F H W 3"]) -> float:
    """See `SSIM`; in [-1, 1], 1 for equal pictures; pictures of at least 11x11."""
    a, b = _luma(a), _luma(b)
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return float((similarity / ((mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2))).mean())


def _luma(frames: UInt8[np.ndarray, "*F H W 3"]) -> Float[np.ndarray, "*F H W"]:
    return frames.astype(np.float64) @ np.array([0.299, 0.587, 0.114])


def _blur(image: Float[np.ndarray, "*F H W"]) -> Float[np.ndarray, "*F h w"]:
    """The window's weighted mean wherever it fits whole."""
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    kernel = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    kernel /= kernel.sum()
    rows = sliding_window_view(image, _WINDOW, axis=-2) @ kernel
    return sliding_window_view(rows, _WINDOW, axis=-1) @ kernel
