"""Runs the pipeline for the tables of `evals`: inputs and models here, numbers there."""

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from adiff_jax.app.export import export
from adiff_jax.app.inputs import SYNTHETIC_FPS, synthetic_source
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline, Reenactment
from adiff_jax.data.synthetic import Person, SyntheticClip, render_clip, render_frame
from adiff_jax.data.synthetic.render import LABELS, region_masks
from adiff_jax.evals.colours import SATURATION, region_colour, saturation
from adiff_jax.evals.landmarks import FOUND_RATE, LANDMARK_ERROR, found_rate, landmark_error
from adiff_jax.evals.mouth import MOUTH_CORRELATION, mouth_correlation, mouth_opening
from adiff_jax.evals.observation import MEASURED_SIZE, Observation, observe
from adiff_jax.evals.pictures import PSNR, SSIM, psnr, ssim
from adiff_jax.evals.plots import save_curves
from adiff_jax.evals.pose import euler_angles
from adiff_jax.evals.reenactment import COLOUR_METRICS, MOTION_METRICS, REGIONS, colour_scores, motion_scores, shuffled
from adiff_jax.evals.report import Metric, Report

PEOPLE = 64
PEOPLE_SEED = 2_000_000

Frames = UInt8[np.ndarray, "F R R 3"]


def evaluate_reenactment(
    pipeline: AnchoredDiffusionPipeline,
    source: str,
    drivers: Sequence[str],
    out: str | os.PathLike,
    options: Mapping[str, Any],
) -> Report:
    """Reenacts `source` by each driver and measures; see `evals.reenactment` for the rows and what they are for.

    Saves the table as `reenactment.md` and `.json`, and for each driver its export and its curves.

    Args:
        pipeline: what is measured.
        source: a picture file or `synthetic:SEED`.
        drivers: video files or `synthetic:SEED`.
        out: folder, made if it is not there.
        options: of `AnchoredDiffusionPipeline.reenact`.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    measured: dict[str, dict[str, dict[str, float]]] = {}
    for driver in drivers:
        reenactment = pipeline.reenact(source, driver, **options)
        name = Path(reenactment.driving.name).stem.replace(":", "-")
        export(reenactment, out / f"{name}.mp4")
        measured[f"{name}, {len(reenactment)} frames"] = _measure(pipeline, reenactment, out / f"{name}.png")
    rows = {f"{name}: {label}": scores for name, labels in measured.items() for label, scores in labels.items()}
    if len(measured) > 1:
        rows |= {f"mean: {label}": scores for label, scores in _means(list(measured.values())).items()}
    report = Report(
        title=f"Reenactment of {Path(source).name}",
        setting={
            "bundle": pipeline.bundle.name,
            "drivers": ", ".join(measured),
            "options": ", ".join(f"{key} {value}" for key, value in options.items()),
            "pictures": f"{pipeline.size} x {pipeline.size}; MediaPipe sees them at {MEASURED_SIZE} or more (bicubic)",
            "detector": "MediaPipe FaceLandmarker, video mode, on the videos and on the drivers' face crops alike",
            "different people": f"{PEOPLE} drawn persons, seeds from {PEOPLE_SEED}",
        },
        metrics=(*MOTION_METRICS, *COLOUR_METRICS, Metric("saturation", SATURATION, ".1f", "higher")),
        rows=rows,
    )
    report.save(out, "reenactment")
    return report


def evaluate_autoencoder(
    pipeline: AnchoredDiffusionPipeline, seeds: Sequence[int], num_frames: int, out: str | os.PathLike
) -> Report:
    """Compares the autoencoder's reconstructions of drawn clips with the clips; saves `autoencoder.md` and `.json`.

    Args:
        pipeline: what is measured.
        seeds: of the clips, which training must not have seen.
        num_frames: frames of each clip.
        out: folder, made if it is not there.
    """
    tables = []
    for seed in seeds:
        clip = render_clip(seed, num_frames=num_frames, size=pipeline.size, fps=SYNTHETIC_FPS)
        videos = {"autoencoder": _reconstruct(pipeline, clip.frames), "true picture": clip.frames}
        tables.append({label: _reconstruction_scores(pipeline, video, clip) for label, video in videos.items()})
    report = Report(
        title="Autoencoder on drawn clips it has not seen",
        setting={
            "bundle": pipeline.bundle.name,
            "clips": f"{len(seeds)} of {num_frames} frames, seeds from {seeds[0]}; numbers are means over clips",
            "pictures": f"{pipeline.size} x {pipeline.size}; MediaPipe sees them at {MEASURED_SIZE} or more (bicubic)",
            "requested landmarks": "the drawn persons' true ones",
        },
        metrics=(
            Metric("PSNR", PSNR, ".2f", "higher"),
            Metric("SSIM", SSIM, ".4f", "higher"),
            Metric("face found", FOUND_RATE, ".1%", "higher"),
            Metric("landmark error", LANDMARK_ERROR, ".2%"),
            Metric("mouth correlation", MOUTH_CORRELATION, ".3f", "higher"),
        ),
        rows=_means(tables),
    )
    report.save(out, "autoencoder")
    return report


def _measure(pipeline: AnchoredDiffusionPipeline, reenactment: Reenactment, plot: Path) -> dict[str, dict[str, float]]:
    """The rows of one driver, by label; draws its curves to `plot`."""
    person, fps = reenactment.source.person, float(reenactment.driving.fps)
    requested = reenactment.landmarks
    videos = {"generated": np.stack(list(reenactment))}
    if person:
        truth = np.stack([render_frame(person, points, pipeline.size) for points in requested])
        videos |= {"autoencoder of the true picture": _reconstruct(pipeline, truth), "true picture": truth}
    driver = observe(np.stack(list(reenactment.driving.frames())), fps, pipeline.detector)
    seen = {label: observe(frames, fps, pipeline.detector) for label, frames in videos.items()}
    rows = {label: motion_scores(seen[label], requested, driver) for label in videos}
    for label, frames in videos.items():
        rows[label]["saturation"] = saturation(frames)
        if person:
            rows[label] |= _colour_row(person, requested, frames)
    rows["generated, frames shuffled"] = motion_scores(shuffled(seen["generated"]), requested, driver)
    _draw_curves(plot, seen, requested, driver, fps)
    return rows


def _reconstruction_scores(
    pipeline: AnchoredDiffusionPipeline, frames: Frames, clip: SyntheticClip
) -> dict[str, float]:
    seen = observe(frames, SYNTHETIC_FPS, pipeline.detector)
    return {
        "PSNR": psnr(frames, clip.frames),
        "SSIM": ssim(frames, clip.frames),
        "face found": found_rate(seen.found),
        "landmark error": landmark_error(seen.points, clip.landmarks, seen.found),
        "mouth correlation": mouth_correlation(seen.points, clip.landmarks, seen.found),
    }


def _means(tables: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The mean over tables of equal rows and columns; NaN where one has NaN."""
    return {
        label: {name: float(np.mean([table[label][name] for table in tables])) for name in row}
        for label, row in tables[0].items()
    }


def _reconstruct(pipeline: AnchoredDiffusionPipeline, frames: Frames) -> Frames:
    return np.stack(list(pipeline.decode(pipeline.encode(frames))))


def _colour_row(person: Person, requested: Float[np.ndarray, "F 478 3"], frames: Frames) -> dict[str, float]:
    size = frames.shape[1]
    return colour_scores(frames, _regions([person] * len(frames), requested, size), _people(size))


def _regions(
    persons: Sequence[Person], points: Float[np.ndarray, "F 478 3"], size: int
) -> dict[str, Bool[np.ndarray, "F R R"]]:
    """Where each of `REGIONS` is in the true picture of each person with these landmarks."""
    masks = np.stack([region_masks(person, frame, size) for person, frame in zip(persons, points, strict=True)])
    return {region: masks == LABELS.index(region) for region in REGIONS}


@functools.cache
def _people(size: int) -> dict[str, Float[np.ndarray, "N 3"]]:
    """Colours of the regions of different people, each at rest."""
    sources = [synthetic_source(PEOPLE_SEED + index, size) for index in range(PEOPLE)]
    regions = _regions([source.person for source in sources], np.stack([source.neutral for source in sources]), size)
    pictures = np.stack([source.picture for source in sources])
    return {region: region_colour(pictures, masks) for region, masks in regions.items()}


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
