"""Guards of a run: steps whose loss or gradient is not finite are counted, written down, and at last end the run."""

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import grain
import ml_collections
import numpy as np

from adiff_jax.data.loader import make_loader
from adiff_jax.data.schema import ClipRecord
from adiff_jax.data.source import ClipSource
from adiff_jax.train.step import Metrics


class TrainingError(RuntimeError):
    """A run that cannot go on; says why."""


@dataclasses.dataclass(frozen=True)
class Readings:
    """What the steps since the last log line said, on the host.

    Attributes:
        last: number of the last of these steps.
        metrics: one for each step.
    """

    last: int
    metrics: Sequence[Metrics]

    @property
    def skipped(self) -> dict[int, Metrics]:
        """Steps that changed no weights, since loss or gradient was not finite, with their metrics."""
        first = self.last - len(self.metrics) + 1
        return {step: metrics for step, metrics in enumerate(self.metrics, first) if not is_finite(metrics)}

    def means(self) -> dict[str, float]:
        """Means over the steps that were not skipped (NaN if all were), and `skipped`, their number."""
        good = [metrics for metrics in self.metrics if is_finite(metrics)]
        means = {
            name: float(np.mean([metrics[name] for metrics in good])) if good else float("nan")
            for name in self.metrics[0]
        }
        return means | {"skipped": float(len(self.metrics) - len(good))}


def is_finite(metrics: Metrics) -> bool:
    """Whether a step changed the weights."""
    return bool(np.isfinite(metrics["loss"]) and np.isfinite(metrics["gradient_norm"]))


def record_skipped(readings: Readings, source: ClipSource, config: ml_collections.ConfigDict, folder: Path) -> None:
    """Writes `STEP.json` for every skipped step: loss, norm of the gradient, and the ids of the clips in its batch."""
    for step, metrics in readings.skipped.items():
        folder.mkdir(parents=True, exist_ok=True)
        report = {
            "step": step,
            "loss": str(metrics["loss"]),  # JSON has no NaN
            "gradient_norm": str(metrics["gradient_norm"]),
            "clips": batch_ids(source, config, step),
        }
        (folder / f"{step:07d}.json").write_text(json.dumps(report, indent=1) + "\n")


def batch_ids(source: ClipSource, config: ml_collections.ConfigDict, step: int) -> list[str]:
    """Ids of the clips of a step's batch, over all processes, in their order: the order follows from the seed."""
    batches = make_loader(source, [ClipId()], batch_size=config.batch_size, seed=config.seed, num_threads=1, prefetch=1)
    with contextlib.closing(batches):
        batches.set_state({"batches": step - 1})
        return next(batches)["id"].tolist()


def check_health(skipped: int, step: int, max_skipped: int) -> None:
    """Raises `TrainingError` if the last `skipped` steps up to `step` were skipped, and that is too many."""
    if skipped > max_skipped:
        raise TrainingError(
            f"{skipped} steps in a row up to step {step} had a loss or gradient that is not finite: lower "
            "optimizer.learning_rate, or look at the clips in skipped/; the weights are those from before"
        )


@dataclasses.dataclass(frozen=True)
class ClipId(grain.transforms.Map):
    """The clip's id alone.

    Example: a record of the clip `d0` gives `{"id": "d0"}`.
    """

    def map(self, element: ClipRecord) -> dict[str, np.str_]:
        """Keeps the id."""
        return {"id": np.str_(element.info.id)}
