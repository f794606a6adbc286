"""The results of a sweep: a table of all runs, their curves, and the metric over the swept values."""

import math
import statistics
from pathlib import Path

import numpy as np

from adiff_jax.evals.report import Metric, Report
from launch.sweep.plan import Run, Sweep

LAST = 0.1  # share of a run's readings whose mean is its result
SPREAD = 8  # largest over smallest value from which on an axis is logarithmic


def result(run: Run, metric: str) -> float:
    """Mean of a scalar over the last tenth of a run, NaN if it was never logged."""
    values = [line[metric] for line in run.scalars if metric in line]
    return statistics.fmean(values[-max(1, round(LAST * len(values))) :]) if values else math.nan


def make_report(sweep: Sweep) -> Report:
    """The table, best run first."""
    states = {0: "finished", None: "open"}
    metrics = (
        Metric(sweep.metric, f"mean of {sweep.metric} over the last tenth of the run", ".4g"),
        Metric("steps", "training steps done", ".0f", "higher"),
        Metric("samples a second", "median over the run", ".1f", "higher"),
    )
    rows = {}
    for run in sorted(sweep.runs, key=lambda run: (math.isnan(value := result(run, sweep.metric)), value)):
        state = states.get(run.exit_code, f"failed with {run.exit_code}")
        label = ", ".join(f"{option.rpartition('.')[2]} {value}" for option, value in run.values.items())
        speeds = [line["samples_per_second"] for line in run.scalars if "samples_per_second" in line]
        rows[label if state == "finished" else f"{label} ({state})"] = {
            sweep.metric: result(run, sweep.metric),
            "steps": run.scalars[-1]["step"] if run.scalars else 0,
            "samples a second": statistics.median(speeds) if speeds else math.nan,
        }
    finished = sum(run.exit_code == 0 for run in sweep.runs)
    setting = {
        "config": sweep.config,
        "swept": ", ".join(sweep.options),
        "runs": f"{finished} of {len(sweep.runs)} finished",
    }
    return Report(f"Sweep {sweep.file.stem}", setting, metrics, rows)


def draw(sweep: Sweep, path: Path) -> None:
    """Draws two panels: the metric over steps, and the result over the first swept option, a line a value of others."""
    from matplotlib.figure import Figure  # a second to import

    figure = Figure(figsize=(12, 4.5), layout="constrained")
    curves, results = figure.subplots(1, 2)
    for run in sweep.runs:
        lines = [line for line in run.scalars if sweep.metric in line]
        curves.plot(
            [line["step"] for line in lines], [line[sweep.metric] for line in lines], label=run.name, linewidth=1
        )
    curves.set(xlabel="step", ylabel=sweep.metric, yscale="log")

    first, *others = sweep.options
    groups: dict[str, list[Run]] = {}
    for run in sweep.runs:
        groups.setdefault(", ".join(f"{option} = {run.values[option]}" for option in others), []).append(run)
    numeric = all(isinstance(run.values[first], int | float) for run in sweep.runs)
    for label, runs in groups.items():
        runs = sorted(runs, key=lambda run: run.values[first]) if numeric else runs
        places = [run.values[first] if numeric else str(run.values[first]) for run in runs]
        results.plot(places, [result(run, sweep.metric) for run in runs], marker="o", label=label)
    values = np.abs([run.values[first] for run in sweep.runs]) if numeric else np.ones(1)
    if values.min() > 0 and values.max() / values.min() >= SPREAD:
        results.set_xscale("log")
    results.set(xlabel=first, ylabel=f"{sweep.metric}, last tenth of the run")
    for axis in (curves, results):
        if axis.get_legend_handles_labels()[1] and any(axis.get_legend_handles_labels()[1]):
            axis.legend(frameon=False, fontsize="small")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
