"""Two programs timed in turns, so that whatever else the machine does meets both."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from tqdm import tqdm

from adiff_jax.evals.report import Metric, Report

Run = Callable[[], object]
"""Does the work once and waits for it."""

PEAK_SIZE = 2048
METRICS = (
    Metric("ours", "median time of ours, in milliseconds", ".0f"),
    Metric("reference", "median time of the reference, in milliseconds", ".0f"),
    Metric("speed", "median over pairs of the reference's time over ours; above 1 ours is faster", ".2f", "higher"),
    Metric(
        "GFLOP",
        "floating-point operations of ours: products and convolutions, in training three times those forward",
        ".1f",
    ),
    Metric("of peak", "operations a second of ours over those of a large float32 matmul in JAX", ".0%", "higher"),
)


class Pair(NamedTuple):
    """What is compared: ours, the reference, and the floating-point operations of ours without recomputation."""

    ours: Run
    reference: Run
    flops: float


def measure(title: str, cases: Mapping[str, Callable[[], Pair]], pairs: int) -> Report:
    """Builds each case, warms both sides up, and times them in turns.

    Args:
        title: of the report.
        cases: makers of pairs by name; made one after the other, so that one at a time is in memory.
        pairs: number of turns.
    """
    peak = matmul_peak()
    rows = {}
    for name, make in tqdm(cases.items(), unit=" cases"):
        ours, reference, flops = make()
        times = [(seconds(ours), seconds(reference)) for _ in range(pairs + 1)][1:]
        mine, theirs = (statistics.median(column) for column in zip(*times))
        rows[name] = {
            "ours": 1e3 * mine,
            "reference": 1e3 * theirs,
            "speed": statistics.median(second / first for first, second in times),
            "GFLOP": flops / 1e9,
            "of peak": flops / mine / peak,
        }
    device = jax.devices()[0]
    setting = {
        "device": f"{device.device_kind} ({device.platform}), float32",
        "peak": f"{peak / 1e9:.0f} GFLOP/s, a matmul of {PEAK_SIZE} x {PEAK_SIZE}",
        "pairs": pairs,
    }
    return Report(title, setting, METRICS, rows)


def seconds(run: Run) -> float:
    """Wall time of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def matmul_peak() -> float:
    """Floating-point operations a second of a large float32 matmul: the best of ten."""
    matrix = jnp.ones((PEAK_SIZE, PEAK_SIZE))
    multiply = jax.jit(jnp.matmul)
    best = min(seconds(lambda: multiply(matrix, matrix).block_until_ready()) for _ in range(11))
    return 2 * PEAK_SIZE**3 / best
