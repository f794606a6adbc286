"""Do videos show what texts say: people drawn from a text, and people changed by one."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from adiff_jax.app.evaluation.autoencoder import reconstruct
from adiff_jax.app.evaluation.drawn import people_colours, true_regions
from adiff_jax.app.evaluation.reader import true_attributes
from adiff_jax.app.evaluation.store import Store
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline, GeneratedVideo
from adiff_jax.app.progress import Progress
from adiff_jax.data.synthetic import Person
from adiff_jax.data.synthetic.people import HAIR_COLOURS, Colour, sample_person
from adiff_jax.evals.attributes import ATTRIBUTES, READ, AttributeReader, features
from adiff_jax.evals.colours import colour_deviation, region_colour
from adiff_jax.evals.intervals import finite_mean
from adiff_jax.evals.observation import observe
from adiff_jax.evals.pose import APD, pose_distance
from adiff_jax.evals.report import Metric, Report

Frames = UInt8[np.ndarray, "F R R 3"]

TEXT_METRICS = tuple(Metric(name, f"{name}: {READ}", ".1%", "higher") for name in ATTRIBUTES)
_KEPT = (
    "distance of the region's mean colour to that in the driving clip (root mean square over red, green, blue), as a "
    "share of the standard deviation of the same colour over different people; mean over videos"
)
EDIT_METRICS = (
    Metric("hair as asked", "share of videos whose hair the attribute reader reads as the target", ".1%", "higher"),
    Metric("clothes", f"clothes: {_KEPT}", ".3f"),
    Metric("background", f"background: {_KEPT}", ".3f"),
    Metric("APD", f"{APD}; the driving clip is the video before the edit", ".2f"),
)


def evaluate_texts(
    pipeline: AnchoredDiffusionPipeline,
    reader: AttributeReader,
    seeds: Sequence[int],
    num_frames: int,
    out: Path,
    options: Mapping[str, Any],
    progress: Progress | None = None,
) -> Report:
    """Animates the captions of drawn people by their own motion, and reads attributes off the videos.

    Rows beside: the true pictures of the same people, and the videos against somebody else's caption: chance. Saves
    `text.md` and `.json`, and what each video gave, in `text/`.

    Args:
        pipeline: what is measured.
        reader: of attributes.
        seeds: of the people, which training must not have seen.
        num_frames: frames of each video.
        out: folder, made if it is not there.
        options: of `AnchoredDiffusionPipeline.animate`; the noise's seed is the person's.
        progress: called with the numbers of measured and of all videos.
    """
    settings = {"bundle": pipeline.bundle.digests["bundle"], "reader": reader.name, "frames": num_frames}
    store = Store(out / "text", settings | {"options": dict(options)})
    read: dict[str, list[dict[str, str]]] = {"generated from the text": [], "true picture": []}
    for done, seed in enumerate(seeds):
        if progress:
            progress(done, len(seeds))
        measurement = store.get(str(seed))
        if measurement is None:
            prompt = sample_person(seed).caption()
            chosen = {**options, "seed": seed}
            video = pipeline.animate(prompt, f"synthetic:{seed}", max_frames=num_frames, **chosen)
            videos = (np.stack(list(video)), np.stack(list(video.driving.frames())))
            measurement = {
                label: reader(features(frames, video.landmarks)) for label, frames in zip(read, videos, strict=True)
            }
            store.put(str(seed), measurement)
        for label, of_label in read.items():
            of_label.append(measurement[label])
    if progress:
        progress(len(seeds), len(seeds))
    said = [true_attributes(sample_person(seed).attributes()) for seed in seeds]
    generated = read["generated from the text"]
    rows = {label: _agreement(of_label, said) for label, of_label in read.items()}
    rows["generated, against another text"] = _agreement(generated, [*said[1:], said[0]])
    report = Report(
        title="Attributes of videos generated from texts",
        setting={
            "bundle": pipeline.bundle.name,
            "videos": f"{len(seeds)} of {num_frames} frames, of captions of drawn people with seeds from {seeds[0]}",
            "sampling": ", ".join(f"{key} {value}" for key, value in options.items()),
            "reader": f"{reader.name}; see `adiff evaluate reader`",
        },
        metrics=TEXT_METRICS,
        rows=rows,
    )
    report.save(out, "text")
    return report


def evaluate_edits(
    pipeline: AnchoredDiffusionPipeline,
    reader: AttributeReader,
    seeds: Sequence[int],
    target: str,
    num_frames: int,
    out: Path,
    options: Mapping[str, Any],
    progress: Progress | None = None,
) -> Report:
    """Gives drawn people hair of another colour by a text, and measures what changed and what should not have.

    Saves `edit.md` and `.json`, and what each video gave, in `edit/`. The row beside is the autoencoder's alone.

    Args:
        pipeline: what is measured.
        reader: of attributes.
        seeds: of the people, from `people_with_hair`.
        target: colour of `HAIR_COLOURS`.
        num_frames: frames of each video.
        out: folder, made if it is not there.
        options: of `AnchoredDiffusionPipeline.edit`; the noise's seed is the person's.
        progress: called with the numbers of measured and of all videos.
    """
    settings = {"bundle": pipeline.bundle.digests["bundle"], "reader": reader.name, "frames": num_frames}
    store = Store(out / "edit", settings | {"target": target, "options": dict(options)})
    measured: dict[str, list[dict[str, float]]] = {"edited": [], "autoencoder alone": []}
    for done, seed in enumerate(seeds):
        if progress:
            progress(done, len(seeds))
        measurement = store.get(str(seed))
        if measurement is None:
            person = sample_person(seed)
            wanted = dataclasses.replace(person, hair=Colour(target, HAIR_COLOURS[target]))
            video = pipeline.edit(
                f"synthetic:{seed}",
                wanted.caption(2),
                origin=person.caption(2),
                max_frames=num_frames,
                **{**options, "seed": seed},
            )
            driving = np.stack(list(video.driving.frames()))
            videos = (np.stack(list(video)), reconstruct(pipeline, driving))
            measurement = {
                label: _edit_scores(pipeline, reader, person, video, frames, driving, target)
                for label, frames in zip(measured, videos, strict=True)
            }
            store.put(str(seed), measurement)
        for label, of_label in measured.items():
            of_label.append(measurement[label])
    if progress:
        progress(len(seeds), len(seeds))
    report = Report(
        title=f"Hair changed to {target} by a text",
        setting={
            "bundle": pipeline.bundle.name,
            "videos": f"{len(seeds)} of {num_frames} frames, drawn people with seeds from {seeds[0]}",
            "sampling": ", ".join(f"{key} {value}" for key, value in options.items()),
            "reader": f"{reader.name}; see `adiff evaluate reader`",
        },
        metrics=EDIT_METRICS,
        rows={
            label: {metric.name: finite_mean([scores[metric.name] for scores in rows]) for metric in EDIT_METRICS}
            for label, rows in measured.items()
        },
    )
    report.save(out, "edit")
    return report


def people_with_hair(colour: str, count: int, first: int) -> tuple[int, ...]:
    """Seeds, from `first` on, of drawn people whose hair has the colour, as far as they have hair to be seen.

    Raises:
        ValueError: count is below 1.
    """
    if count < 1:
        raise ValueError(f"identities must be at least 1, not {count}")
    bare = ("bald", "buzz", "receding")
    persons = (sample_person(seed) for seed in itertools.count(first))
    fitting = (person.seed for person in persons if person.hair.name == colour and person.cut not in bare)
    return tuple(itertools.islice(fitting, count))


def _agreement(read: Sequence[Mapping[str, str]], said: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """Share of videos by attribute; where the text says nothing of it, the video does not count."""
    pairs = list(zip(read, said, strict=True))
    return {
        name: finite_mean([float(seen[name] == wanted[name]) if name in wanted else np.nan for seen, wanted in pairs])
        for name in ATTRIBUTES
    }


def _edit_scores(
    pipeline: AnchoredDiffusionPipeline,
    reader: AttributeReader,
    person: Person,
    video: GeneratedVideo,
    frames: Frames,
    driving: Frames,
    target: str,
) -> dict[str, float]:
    fps = float(video.driving.fps)
    seen, before = (observe(pictures, fps, pipeline.detector) for pictures in (frames, driving))
    regions = true_regions([person] * len(frames), video.landmarks, pipeline.size)
    people = people_colours(pipeline.size)
    scores = {
        "hair as asked": float(reader(features(frames, video.landmarks))["hair"] == target),
        "APD": pose_distance(seen.pose, before.pose, seen.found & before.found),
    }
    for region in ("clothes", "background"):
        now, then = (np.nanmean(region_colour(pictures, regions[region]), axis=0) for pictures in (frames, driving))
        scores[region] = float(np.sqrt(np.square(now - then).mean()) / colour_deviation(people[region]))
    return scores
