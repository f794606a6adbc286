"""Learning rate and size of batch of a tiny autoencoder: seconds, to see that sweeps work.

python -m launch.sweep configs/sweeps/tiny.py --out runs/sweeps/tiny
"""

from collections.abc import Callable

CONFIG = "configs/autoencoder.py:small128,tiny"
METRIC = "l1"


def sweep(add: Callable[..., None]) -> None:
    """Three rates by two sizes."""
    for rate in (1e-4, 1e-3, 1e-2):
        for size in (2, 4):
            add(
                {
                    "optimizer.learning_rate": rate,
                    "batch_size": size,
                }
            )
