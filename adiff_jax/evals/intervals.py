"""How sure a mean is: bootstrap intervals over videos."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import bootstrap

INTERVAL = "95 % bootstrap interval of the mean over videos (percentile, 10,000 resamples)"


def mean_interval(values: Float[np.ndarray, "N"], seed: int = 0) -> tuple[float, float]:
    """See `INTERVAL`; values that are NaN do not count, and with fewer than two the interval is NaN."""
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return float("nan"), float("nan")
    result = bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(seed))
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def finite_mean(values: Float[np.ndarray, "N"] | Sequence[float]) -> float:
    """The mean of the values that are not NaN; NaN if all are."""
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")
