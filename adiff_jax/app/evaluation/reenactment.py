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
    source: str,
    drivers: Sequence[str],
    out: str | os.PathLike,
    options: Mapping[str, Any],
    extras: Extras | None = None,
    *,
    label: bool = True,
    identity: Identity | None = None,
    consents: Mapping[str, Consent | None] | None = None,
) -> Report:
    """Reenacts `source` by each driver and measures; see `evals.reenactment` for the rows and what they are for.

    Where it is known what the video should show, it is compared with that: of a drawn person its true picture, and in
    self-reenactment the driver.

    Saves the table as `reenactment.md` and `.json`, and for each driver its export and its curves.

    Args:
        pipeline: what is measured.
        source: a picture file, `synthetic:SEED`, or `self`: the first frame of each driver, or its drawn person.
        drivers: video files or `synthetic:SEED`.
        out: folder, made if it is not there.
        options: of `AnchoredDiffusionPipeline.reenact`.
        extras: metrics that need networks of their own; none by default.
        label: see `export`.
        identity: see `export`.
        consents: of the person in `source`, or in each driver if that is `self`, by its name.
    """
    extras = extras or Extras()
    extras.load({person.startswith("synthetic:") for person in persons_shown(source, drivers)})
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    measured: dict[str, dict[str, dict[str, float]]] = {}
    videos: dict[str, list[Frames]] = {}
    references: list[Frames] = []
    drawn: set[bool] = set()
    for driver, name in zip(drivers, driver_names(drivers), strict=True):
        person = _source_of(driver) if source == SELF else source
        reenactment = pipeline.reenact(person, driver, motion="absolute", **options)
        drawn.add(reenactment.source.person is not None)
        consent = (consents or {}).get(driver if source == SELF else source)
        export(reenactment, out / f"{name}.mp4", label=label, identity=identity, consent=consent)
        of_driver, reference = _videos(pipeline, reenactment, self_reenactment=source == SELF)
        plot = out / f"{name}.png"
        measured[f"{name}, {len(reenactment)} frames"] = _measure(
            pipeline, reenactment, of_driver, reference, extras, plot
        )
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
        title=f"Reenactment of {Path(source).name}",
        setting={
            "bundle": pipeline.bundle.name,
            "drivers": ", ".join(measured),
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


def persons_shown(source: str, drivers: Sequence[str]) -> tuple[str, ...]:
    """The files, or `synthetic:SEED`, of the people who are animated: the source, or for `self` the drivers."""
    return tuple(drivers) if source == SELF else (source,)


def driver_names(drivers: Sequence[str]) -> list[str]:
    """Names for the files of each driver: its own without folder and suffix, with a number where another has it."""
    names: list[str] = []
    for driver in drivers:
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
