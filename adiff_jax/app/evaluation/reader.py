"""The attribute reader: how it is fitted to drawn people, and how well it reads others."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from adiff_jax.app.inputs import SYNTHETIC_FPS
from adiff_jax.app.progress import Progress
from adiff_jax.data.source import ClipSource
from adiff_jax.data.synthetic import render_clip
from adiff_jax.evals.attributes import ATTRIBUTES, AttributeReader, features
from adiff_jax.evals.report import Metric, Report

_CLIP_FRAMES = 50
_DEFINITION = "share of people, one true frame each, whose {} is read as it is{}"
ACCURACY_METRICS = (
    Metric("hair", _DEFINITION.format("hair's colour", ", of nine; who is bald does not count"), ".1%", "higher"),
    Metric("clothes", _DEFINITION.format("clothes' colour", ", of thirteen"), ".1%", "higher"),
    Metric("glasses", _DEFINITION.format("glasses or none", ""), ".1%", "higher"),
)


def true_attributes(attributes: dict[str, Any]) -> dict[str, str]:
    """What the reader should read, from a drawn person's attributes; of a bald person no hair."""
    hair = {} if attributes["cut"] == "bald" else {"hair": attributes["hair"]}
    glasses = "none" if attributes["glasses"] == "none" else "some"
    return hair | {"clothes": attributes["clothes"], "glasses": glasses}


def fit_reader(source: ClipSource, progress: Progress | None = None) -> AttributeReader:
    """A reader from a frame of each clip of drawn people."""
    examples, truths = [], []
    for index in range(len(source)):
        if progress:
            progress(index, len(source))
        clip = source[index]
        frame = np.array([index % len(clip)])
        examples.append(features(clip.frames[frame], clip.landmarks[frame]))
        truths.append(true_attributes(clip.info.attributes))
    return AttributeReader.fit(examples, truths)


def evaluate_reader(reader: AttributeReader, seeds: Sequence[int], size: int, out: str | os.PathLike) -> Report:
    """Reads a true frame of each person; saves `reader.md` and `.json`.

    Args:
        reader: what is measured.
        seeds: of the people, to whom it must not have been fitted.
        size: side of the pictures.
        out: folder, made if it is not there.
    """
    report = Report(
        title="Attributes read from true frames of drawn people",
        setting={"people": f"{len(seeds)}, seeds from {seeds[0]}", "pictures": f"{size} x {size}"},
        metrics=ACCURACY_METRICS,
        rows={"true pictures": _accuracy(reader, seeds, size)},
    )
    report.save(out, "reader")
    return report


def _accuracy(reader: AttributeReader, seeds: Iterable[int], size: int) -> dict[str, float]:
    right: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}
    for seed in seeds:
        clip = render_clip(seed, num_frames=_CLIP_FRAMES, size=size, fps=SYNTHETIC_FPS, frames=[seed % _CLIP_FRAMES])
        read = reader(features(clip.frames, clip.landmarks))
        for name, truth in true_attributes(clip.person.attributes()).items():
            right[name].append(read[name] == truth)
    return {name: float(np.mean(of_people)) if of_people else float("nan") for name, of_people in right.items()}
