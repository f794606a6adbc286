"""Smoothing of landmark tracks over time."""

import numpy as np
from jaxtyping import Float

from adiff_jax.media import topology


def one_euro(
    values: Float[np.ndarray, "F *D"],
    times: Float[np.ndarray, "F"],
    min_cutoff: float = 1.0,
    beta: float = 0.0,
    derivative_cutoff: float = 1.0,
) -> Float[np.ndarray, "F *D"]:
    """The One-Euro filter (Casiez, Roussel, Vogel 2012) on each component: steady at rest, quick in motion.

    Args:
        values: the signal; its first sample is kept.
        times: strictly increasing times of the samples, in seconds; they may be spaced unevenly.
        min_cutoff: cutoff frequency at rest, in Hz; lower is steadier.
        beta: how much the cutoff rises with speed, in Hz per unit a second; higher lags less.
        derivative_cutoff: cutoff frequency of the speed, in Hz.
    """
    smooth = np.array(values, dtype=np.float64)
    speed = np.zeros_like(smooth[0])
    for index, period in enumerate(np.diff(times), start=1):
        step = (values[index] - smooth[index - 1]) / period
        speed += _gain(derivative_cutoff, period) * (step - speed)
        gain = _gain(min_cutoff + beta * abs(speed), period)
        smooth[index] = smooth[index - 1] + gain * (values[index] - smooth[index - 1])
    return smooth.astype(values.dtype)


def _gain(cutoff: Float[np.ndarray, "*D"] | float, period: float) -> Float[np.ndarray, "*D"] | float:
    return 1 / (1 + 1 / (2 * np.pi * cutoff * period))


def smooth_landmarks(
    points: Float[np.ndarray, "F K 3"], times: Float[np.ndarray, "F"], min_cutoff: float = 3.0, beta: float = 20.0
) -> Float[np.ndarray, "F K 3"]:
    """`one_euro` over a landmark track in any unit, without its lag: the mean of a pass forwards and one backwards.

    Args:
        points: the track.
        times: of its frames, in seconds.
        min_cutoff: see `one_euro`.
        beta: how much the cutoff rises with speed, in Hz per distance between the eyes a second.
    """
    eyes = [points[:, eye.corners].mean(axis=1) for eye in topology.EYES]
    unit = float(np.median(np.linalg.norm(eyes[0] - eyes[1], axis=-1)))
    forwards = one_euro(points, times, min_cutoff, beta / unit)
    backwards = one_euro(points[::-1], (times[-1] - times)[::-1], min_cutoff, beta / unit)[::-1]
    return (forwards + backwards) / 2
