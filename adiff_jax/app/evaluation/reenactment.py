"""How well the pipeline follows drivers."""

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from adiff_jax.app.consent import Consent
from adiff_jax.app.evaluation.autoencoder import reconstruct
from adiff_jax.app.evaluation.drawn import PEOPLE, PEOPLE_SEED, people_colours, true_regions
from adiff_jax.app.evaluation.extras import Extras
from adiff_jax.app.export import export
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline, GeneratedVideo
from adiff_jax.app.signing import Identity
from adiff_jax.data.synthetic import Person, render_frame
from adiff_jax.evals.colours import SATURATION, saturation
from adiff_jax.evals.mouth import mouth_opening
from adiff_jax.evals.observation import MEASURED_SIZE, Observation, observe
from adiff_jax.evals.plots import save_curves
from adiff_jax.evals.pose import euler_angles
from adiff_jax.evals.reenactment import COLOUR_METRICS, MOTION_METRICS, colour_scores, motion_scores, shuffled
from adiff_jax.evals.report import Metric, Report, mean_rows
from adiff_jax.media.video import read_video

SELF = "self"

Frames = UInt8[np.ndarray, "F R R 3"]


def evaluate_reenactment(
    pipeline: AnchoredDiffusionPipeline,
    sources: Sequence[str],
    drivers: Sequence[str],
    out: str | os.PathLike,
    options: Mapping[str, Any],
    extras: Extras | None = None,
    *,
    label: bool = True,
    identity: Identity | None = None,
    consents: Mapping[str, Consent | None] | None = None,
) -> Report:
    """Reenacts sources by drivers and measures; see `evals.reenactment` for the rows and what they are for.

    Where it is known what the video should show, it is compared with that: of a drawn person its true picture, and in
    self-reenactment the driver.

    Saves the table as `reenactment.md` and `.json`, and for each video its export and its curves.

    Args:
        pipeline: what is measured.
        sources: picture files or `synthetic:SEED`; or `self` alone, the first frame of each driver or its drawn person.
        drivers: video files or `synthetic:SEED`. Sources and drivers are paired in turn, the fewer again and again.
        out: folder, made if it is not there.
        options: of `AnchoredDiffusionPipeline.reenact`.
        extras: metrics that need networks of their own; none by default.
        label: see `export`.
        identity: see `export`.
        consents: of the persons in the sources, or in the drivers if these are `self`, by their names.

    Raises:
        ValueError: there is no source or no driver, or `self` is not alone.
    """
    pairs = paired(sources, drivers)
    itself = list(sources) == [SELF]
    extras = extras or Extras()
    extras.load({person.startswith("synthetic:") for person in persons_shown(sources, drivers)})
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    measured: dict[str, dict[str, dict[str, float]]] = {}
    videos: dict[str, list[Frames]] = {}
    references: list[Frames] = []
    drawn: set[bool] = set()
    for (source, driver), name in zip(pairs, video_names(pairs), strict=True):
        person = _source_of(driver) if itself else source
        reenactment = pipeline.reenact(person, driver, motion="absolute", **options)
        drawn.add(reenactment.source.person is not None)
        consent = (consents or {}).get(source)
        export(reenactment, out / f"{name}.mp4", label=label, identity=identity, consent=consent)
        of_driver, reference = _videos(pipeline, reenactment, self_reenactment=itself)
        plot = out / f"{name}.png"
        measured[f"{name}, {len(reenactment)} frames"] = _measure(
            pipeline, reenactment, of_driver, reference, extras, plot
        )
        if extras.compare_sets:
            for row, frames in of_driver.items():
                videos.setdefault(row, []).append(frames)
            driving = np.stack(list(reenactment.driving.frames()))
            references.append(driving if reference is None else reference)
    rows = {f"{name}: {row}": scores for name, table in measured.items() for row, scores in table.items()}
    if len(measured) > 1:
        rows |= {f"mean: {row}": scores for row, scores in mean_rows(list(measured.values())).items()}
    of_all = "mean" if len(measured) > 1 else next(iter(measured))
    for row, frames in videos.items():
        if len(frames) == len(references):  # a row that only some drivers have is nothing to compare with all
            rows[f"{of_all}: {row}"] |= extras.of_videos(frames, references)
    report = Report(
        title=f"Reenactment of {Path(sources[0]).name if len(sources) == 1 else f'{len(sources)} people'}",
        setting={
            "bundle": pipeline.bundle.name,
            "videos": ", ".join(measured),
            "motion": "absolute",
            "options": ", ".join(f"{key} {value}" for key, value in options.items()),
            "pictures": f"{pipeline.size} x {pipeline.size}; MediaPipe sees them at {MEASURED_SIZE} or more (bicubic)",
            "detector": "MediaPipe FaceLandmarker, video mode, on the videos and on the drivers' face crops alike",
            "different people": f"{PEOPLE} drawn persons, seeds from {PEOPLE_SEED}",
            "reference pictures": "the true picture of a drawn source; the driver's face crop in self-reenactment; "
            "else identity is compared with the source, FID and FVD with the drivers",
            **extras.setting(drawn),
        },
        metrics=(
            *MOTION_METRICS,
            *COLOUR_METRICS,
            Metric("saturation", SATURATION, ".1f", "higher"),
            *extras.metrics,
        ),
        rows=rows,
    )
    report.save(out, "reenactment")
    return report


def persons_shown(sources: Sequence[str], drivers: Sequence[str]) -> tuple[str, ...]:
    """The files, or `synthetic:SEED`, of the people who are animated: the sources, or for `self` the drivers."""
    return tuple(drivers) if list(sources) == [SELF] else tuple(sources)


def paired(sources: Sequence[str], drivers: Sequence[str]) -> list[tuple[str, str]]:
    """Who is animated by which driver: as many pairs as the longer of both has entries.

    >>> paired(["synthetic:7"], ["a.mp4", "b.mp4"])
    [('synthetic:7', 'a.mp4'), ('synthetic:7', 'b.mp4')]

    Raises:
        ValueError: one is empty, or `self` is not the only source.
    """
    if not sources or not drivers:
        raise ValueError("give at least one source and one driver")
    if SELF in sources and len(sources) > 1:
        raise ValueError(f"the source {SELF} stands for all drivers' own: give it alone")
    people = persons_shown(sources, drivers)
    count = max(len(people), len(drivers))
    return [(people[index % len(people)], drivers[index % len(drivers)]) for index in range(count)]


def video_names(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Names for files: those of the drivers without folder and suffix, with a number where another has it."""
    names: list[str] = []
    for _, driver in pairs:
        stem = Path(driver).stem.replace(":", "-")
        numbered = (f"{stem}-{number}" for number in itertools.count(2))
        names.append(next(name for name in itertools.chain([stem], numbered) if name not in names))
    return names


def _source_of(driver: str) -> str | UInt8[np.ndarray, "H W 3"]:
    """Who is seen in a driver, for self-reenactment."""
    if driver.startswith("synthetic:"):
        return driver
    with read_video(Path(driver)) as video:
        return next(iter(video)).image


def _videos(
    pipeline: AnchoredDiffusionPipeline, reenactment: GeneratedVideo, self_reenactment: bool
) -> tuple[dict[str, Frames], Frames | None]:
    """The videos of one driver's rows, and what they should show, if that is known."""
    videos = {"generated": np.stack(list(reenactment))}
    if person := reenactment.source.person:
        truth = np.stack([render_frame(person, points, pipeline.size) for points in reenactment.landmarks])
        return videos | {"autoencoder of the true picture": reconstruct(pipeline, truth), "true picture": truth}, truth
    return videos, np.stack(list(reenactment.driving.frames())) if self_reenactment else None


def _measure(
    pipeline: AnchoredDiffusionPipeline,
    reenactment: GeneratedVideo,
    videos: Mapping[str, Frames],
    reference: Frames | None,
    extras: Extras,
    plot: Path,
) -> dict[str, dict[str, float]]:
    """The rows of one driver, by label; draws its curves to `plot`."""
    person, fps = reenactment.source.person, float(reenactment.driving.fps)
    requested = reenactment.landmarks
    driver = observe(np.stack(list(reenactment.driving.frames())), fps, pipeline.detector)
    seen = {label: observe(frames, fps, pipeline.detector) for label, frames in videos.items()}
    rows = {label: motion_scores(seen[label], requested, driver) for label in videos}
    for label, frames in videos.items():
        rows[label] |= {"saturation": saturation(frames), **extras.of_video(reenactment, frames, reference)}
        if person:
            rows[label] |= _colour_row(person, requested, frames)
    rows["generated, frames shuffled"] = motion_scores(shuffled(seen["generated"]), requested, driver)
    _draw_curves(plot, seen, requested, driver, fps)
    return rows


def _colour_row(person: Person, requested: Float[np.ndarray, "F 478 3"], frames: Frames) -> dict[str, float]:
    size = frames.shape[1]
    return colour_scores(frames, true_regions([person] * len(frames), requested, size), people_colours(size))


def _draw_curves(
    path: Path,
    seen: Mapping[str, Observation],
    requested: Float[np.ndarray, "F 478 3"],
    driver: Observation,
    fps: float,
) -> None:
    def shown(observation: Observation, values: Float[np.ndarray, "F"]) -> Float[np.ndarray, "F"]:
        return np.where(observation.found, values, np.nan)

    with np.errstate(invalid="ignore", divide="ignore"):
        mouths = {label: shown(video, mouth_opening(video.points)) for label, video in seen.items()}
        turns = {label: shown(video, euler_angles(video.pose)[:, 0]) for label, video in seen.items()}
        panels = {
            "mouth opening": {"requested": mouth_opening(requested), **mouths},
            "yaw (degrees)": {"driver": shown(driver, euler_angles(driver.pose)[:, 0]), **turns},
        }
    save_curves(path, panels, fps)
