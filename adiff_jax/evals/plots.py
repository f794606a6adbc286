"""Curves over the frames of a video, as PNG."""

import os
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

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
