"""Learning rate and noise schedule of the small sDiT: six trainings of a seventh of the usual length.

    python -m launch.sweep configs/sweeps/small128.py --out runs/sweeps/small128 -- --data data/latents \
      --config.data.encoded=True

Schedules differ in how much noise the error is over: compare those by their samples as well.
"""

from collections.abc import Callable

CONFIG = "configs/sdit.py:small128"
METRIC = "mse"


def sweep(add: Callable[..., None]) -> None:
    """Three rates by two schedules."""
    for rate in (3e-4, 1e-3, 3e-3):
        for schedule in ("cosine", "linear"):
            add({"optimizer.learning_rate": rate, "diffusion.schedule": schedule, "steps": 1_500})
