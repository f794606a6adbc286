"""Curves over the frames of a video, and lines with intervals, as PNG."""

import dataclasses
import os
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Real

Curves = Mapping[str, Float[np.ndarray, "F"]]


def save_curves(path: str | os.PathLike, panels: Mapping[str, Curves], frame_rate: float) -> None:
    """Draws one panel under the other, each with its named curves over time; NaN leaves a gap.

    Args:
        path: the `.png` file to write.
        panels: curves by name, by the panel's label (quantity and unit).
        frame_rate: frames a second.
    """
    from matplotlib.figure import Figure  # a second to import

    figure = Figure(figsize=(9, 2.2 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (label, curves) in zip(axes, panels.items()):
        for name, curve in curves.items():
            axis.plot(np.arange(len(curve)) / frame_rate, curve, label=name, linewidth=1.2)
        axis.set_ylabel(label)
        axis.legend(loc="upper right", frameon=False, fontsize="small")
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("time (s)")
    figure.savefig(path, dpi=120)


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a plot.

    Attributes:
        x: where.
        y: values; NaN leaves a gap.
        low: lower ends of intervals around `y`, if there are any.
        high: upper ends.
    """

    x: Real[np.ndarray, "N"]
    y: Float[np.ndarray, "N"]
    low: Float[np.ndarray, "N"] | None = None
    high: Float[np.ndarray, "N"] | None = None


def save_lines(
    path: str | os.PathLike, panels: Mapping[str, Mapping[str, Line]], x_label: str, columns: int = 3
) -> None:
    """Draws panels in rows, each with the same named lines and shaded intervals; one legend for all.

    Args:
        path: the `.png` file to write.
        panels: lines by name, by the panel's title.
        x_label: what x is.
        columns: panels in a row.
    """
    from matplotlib.figure import Figure

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(4.2 * columns, 8.4), 3.1 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    handles: dict[str, object] = {}
    for axis, (title, lines) in zip(axes, panels.items()):
        for index, (name, line) in enumerate(lines.items()):
            colour = f"C{index % 10}"
            handles[name] = axis.plot(
                line.x, line.y, color=colour, marker="o" if len(line.x) < 12 else None, markersize=4, linewidth=1.4
            )[0]
            if line.low is not None and line.high is not None:
                axis.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
        axis.set_title(title, fontsize="medium")
        axis.set_xlabel(x_label)
        axis.set_ylim(bottom=0)
        if all(len(line.x) < 12 for line in lines.values()):
            axis.set_xticks(next(iter(lines.values())).x)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=120, bbox_inches="tight")
