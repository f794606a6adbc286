"""The paper's figure 5 and more: does a long video stay the same person, by how it was put together and how long it is.

synthetic:SEED ──► driving clip of F frames ──► pipeline, one way after the other ──► videos ──► scores
              └──► source: the same person at rest      (same noise, same guidance)
"""

import dataclasses
import functools
import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from adiff_jax.app.evaluation.autoencoder import reconstruct
from adiff_jax.app.evaluation.contenders import CEILING, CEILING_NAME, CONTENDERS, NAMES
from adiff_jax.app.evaluation.drawn import true_regions
from adiff_jax.app.evaluation.sheet import save_sheet
from adiff_jax.app.evaluation.store import Store
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline, GeneratedVideo
from adiff_jax.app.progress import Progress
from adiff_jax.app.sheets import pick_frames
from adiff_jax.evals.consistency import CONSISTENCY_METRICS, consistency_scores, distance_to_anchor
from adiff_jax.evals.identity import Recogniser
from adiff_jax.evals.intervals import INTERVAL, finite_mean, mean_interval
from adiff_jax.evals.landmarks import FOUND_RATE, LANDMARK_ERROR, found_rate, landmark_error
from adiff_jax.evals.observation import MEASURED_SIZE, observe
from adiff_jax.evals.plots import Line, save_lines
from adiff_jax.evals.report import Metric, Report
from adiff_jax.media.pictures import read_picture, write_picture

SHEET_FRAMES = 12

LANDMARK_METRICS = (
    Metric("face found", FOUND_RATE, ".1%", "higher"),
    Metric("landmark error", LANDMARK_ERROR, ".2%"),
)
COST = Metric(
    "seconds a frame", "time of sampling and decoding a video over its frames, compilation not counted", ".2f"
)
BOUNDED = ("Self-CSIM", "identity pairwise")
INTERVAL_METRICS = tuple(
    Metric(f"{name} {end}", f"{end} end of the {INTERVAL} of {name}", ".4f")
    for name in BOUNDED
    for end in ("low", "high")
)
RIVAL = "multidiffusion"
GAP_METRICS = tuple(
    Metric(f"{name} gap{of}", f"{NAMES[RIVAL]}'s {name} less this method's, person by person{end}", ".4f", "higher")
    for name in BOUNDED
    for of, end in (("", ": mean"), (" low", f": low end of the {INTERVAL}"), (" high", ": high end of the same"))
)
PLOTTED = ("Self-CSIM", "identity pairwise", "colour pairwise", "colour ends", "colour neighbours", "flicker")

Frames = UInt8[np.ndarray, "F R R 3"]


@dataclasses.dataclass(frozen=True)
class ConsistencyPlan:
    """What is compared.

    Attributes:
        lengths: numbers of frames, each 2 or more.
        seeds: of the drawn people, whose own motion drives them.
        contenders: names of `CONTENDERS`.
        options: of `SamplingOptions`, for all contenders; the noise's seed is the person's.
        landmarks: whether MediaPipe measures how well landmarks are met.
        sheets: of how many people contact sheets are kept, at the longest length.
    """

    lengths: tuple[int, ...]
    seeds: tuple[int, ...]
    contenders: tuple[str, ...]
    options: Mapping[str, Any]
    landmarks: bool = True
    sheets: int = 2

    def __post_init__(self):
        if not self.lengths or min(self.lengths) < 2:
            raise ValueError(f"lengths {self.lengths} must be numbers of frames, 2 or more")
        if not self.seeds:
            raise ValueError("identities must be at least 1")
        if not self.contenders:
            raise ValueError("give at least one method")
        if unknown := set(self.contenders) - CONTENDERS.keys():
            raise ValueError(f"unknown method {', '.join(sorted(unknown))}: choose from {', '.join(CONTENDERS)}")


def evaluate_consistency(
    pipeline: AnchoredDiffusionPipeline,
    recogniser: Recogniser,
    plan: ConsistencyPlan,
    out: Path,
    progress: Progress | None = None,
) -> tuple[Report, Report]:
    """Makes every video of the plan that `out` does not have yet, measures it, and draws all together.

    Saves `consistency.md`, `.json` and `.png` (against length), `intervals.md` and `.json` (how sure it is), the plot
    `distance.png` (against the distance to the anchor, of the longest videos), `contact_sheet.png`, and what each video
    gave, in `videos/`.

    Args:
        pipeline: what is measured.
        recogniser: of drawn people.
        plan: what is compared.
        out: folder, made if it is not there.
        progress: called with the numbers of measured and of all videos.

    Raises:
        ValueError: `out` holds measurements with other settings.
    """
    settings = {
        "bundle": pipeline.bundle.digests["bundle"],
        "identity": recogniser.name,
        "options": {**plan.options},
        "landmarks": plan.landmarks,
    }
    store = Store(out / "videos", settings)
    contenders = (CEILING, *plan.contenders)
    jobs = list(itertools.product(plan.lengths, plan.seeds, contenders))
    measured: dict[tuple[int, str], list[dict[str, Any]]] = {}
    sheets = plan.seeds[: plan.sheets]
    clip = functools.lru_cache(maxsize=1)(functools.partial(_drawn_clip, pipeline, recogniser))
    for done, (length, seed, contender) in enumerate(jobs):
        if progress:
            progress(done, len(jobs))
        name = f"{contender}-{length}-{seed}"
        sheet = out / "videos" / f"{name}.png" if seed in sheets and length == max(plan.lengths) else None
        measurement = store.get(name)
        if measurement is None or (sheet and not sheet.exists()):
            measurement = _measure(pipeline, recogniser, plan, contender, clip(length, seed), sheet)
            store.put(name, measurement)
        measured.setdefault((length, contender), []).append(measurement)
    if progress:
        progress(len(jobs), len(jobs))
    report = _report(pipeline, recogniser, plan, measured)
    report.save(out, "consistency")
    intervals = _intervals(report, plan, measured)
    intervals.save(out, "intervals")
    _plot(out, plan, measured)
    if sheets:
        rows = {
            f"{_name(contender)} {seed}": read_picture(out / "videos" / f"{contender}-{max(plan.lengths)}-{seed}.png")
            for seed, contender in itertools.product(sheets, contenders)
        }
        save_sheet(out / "contact_sheet.png", rows)
    return report, intervals


@dataclasses.dataclass(frozen=True)
class _DrawnClip:
    """A drawn person's own motion, which drives every contender: what is known of it."""

    seed: int
    frames: Frames
    fps: float
    landmarks: Float[np.ndarray, "F 478 P"]
    identity: Float[np.ndarray, "F I"]
    regions: Mapping[str, Bool[np.ndarray, "F R R"]]

    def __len__(self) -> int:
        return len(self.frames)


def _drawn_clip(pipeline: AnchoredDiffusionPipeline, recogniser: Recogniser, length: int, seed: int) -> _DrawnClip:
    video = _reenact_self(pipeline, length, seed)
    frames = np.stack(list(video.driving.frames()))
    return _DrawnClip(
        seed=seed,
        frames=frames,
        fps=float(video.driving.fps),
        landmarks=video.landmarks,
        identity=recogniser(frames, video.landmarks),
        regions=true_regions([video.source.person] * length, video.landmarks, pipeline.size),
    )


def _reenact_self(pipeline: AnchoredDiffusionPipeline, length: int, seed: int, **options: Any) -> GeneratedVideo:
    who = f"synthetic:{seed}"
    return pipeline.reenact(who, who, max_frames=length, motion="absolute", seed=seed, **options)


def _measure(
    pipeline: AnchoredDiffusionPipeline,
    recogniser: Recogniser,
    plan: ConsistencyPlan,
    contender: str,
    clip: _DrawnClip,
    sheet: Path | None,
) -> dict[str, Any]:
    """What one video gives: scores, curves, and a strip of its frames in the file `sheet`."""
    options = {"pin_source": False, **plan.options, **CONTENDERS.get(contender, {})}
    video = _reenact_self(pipeline, len(clip), clip.seed, **options)
    begin = time.perf_counter()
    frames = reconstruct(pipeline, clip.frames) if contender == CEILING else np.stack(list(video))
    seconds = time.perf_counter() - begin
    identity = recogniser(frames, clip.landmarks)
    scores = consistency_scores(frames, clip.frames, identity, clip.identity, clip.regions)
    scores["seconds a frame"] = seconds / len(clip)
    if plan.landmarks:
        seen = observe(frames, clip.fps, pipeline.detector)
        scores["face found"] = found_rate(seen.found)
        scores["landmark error"] = landmark_error(seen.points, clip.landmarks, seen.found)
    if sheet:
        strip = np.concatenate([frames[index] for index in pick_frames(len(clip), SHEET_FRAMES)], axis=1)
        write_picture(sheet, strip)
    chosen = options.get("anchor_frame")
    anchor = len(clip) // 2 if chosen is None else chosen
    return {"scores": scores, "to anchor": distance_to_anchor(identity, anchor).tolist()}


def _report(
    pipeline: AnchoredDiffusionPipeline,
    recogniser: Recogniser,
    plan: ConsistencyPlan,
    measured: Mapping[tuple[int, str], list[dict[str, Any]]],
) -> Report:
    rows = {}
    for (length, contender), videos in measured.items():
        values = {name: _values(videos, name) for name in videos[0]["scores"]}
        row = {name: finite_mean(of_videos) for name, of_videos in values.items()}
        later = values["seconds a frame"][1:]  # the first video compiles
        row["seconds a frame"] = float(np.median(later)) if len(later) else float("nan")
        rows[f"{length} frames: {_name(contender)}"] = row
    return Report(
        title="Consistency against length: self-reenactment of drawn people",
        setting={
            "bundle": pipeline.bundle.name,
            "videos": f"{len(plan.seeds)} of each length and method, people with seeds from {plan.seeds[0]}, never "
            "trained on; every frame counts (stride 1)",
            "source and driver": "the person at rest; the person's own procedural motion at 25 frames a second",
            "sampling": ", ".join(f"{key} {value}" for key, value in plan.options.items()),
            "noise": "of every frame the same for all methods",
            "identity": recogniser.name,
            "pictures": f"{pipeline.size} x {pipeline.size}; MediaPipe sees them at {MEASURED_SIZE} or more (bicubic)",
            "values": f"means over videos; {INTERVAL}; seconds are medians",
        },
        metrics=(*CONSISTENCY_METRICS, *(LANDMARK_METRICS if plan.landmarks else ()), COST),
        rows=rows,
    )


def _intervals(
    report: Report, plan: ConsistencyPlan, measured: Mapping[tuple[int, str], list[dict[str, Any]]]
) -> Report:
    """How sure the means of `BOUNDED` are, and by how much the rival is worse on the same people."""
    rows = {}
    for (length, contender), videos in measured.items():
        rival = measured.get((length, RIVAL)) if contender != RIVAL else None
        row = rows[f"{length} frames: {_name(contender)}"] = {}
        for name in BOUNDED:
            values = _values(videos, name)
            row[name] = finite_mean(values)
            row[f"{name} low"], row[f"{name} high"] = mean_interval(values)
            if rival:
                gap = _values(rival, name) - values
                row[f"{name} gap"] = finite_mean(gap)
                row[f"{name} gap low"], row[f"{name} gap high"] = mean_interval(gap)
    means = (metric for metric in CONSISTENCY_METRICS if metric.name in BOUNDED)
    gaps = GAP_METRICS if RIVAL in plan.contenders else ()
    return Report("Intervals", report.setting, (*means, *INTERVAL_METRICS, *gaps), rows)


def _plot(out: Path, plan: ConsistencyPlan, measured: Mapping[tuple[int, str], list[dict[str, Any]]]) -> None:
    lengths = sorted(set(plan.lengths))

    def against_length(metric: str, contender: str) -> Line:
        values = [_values(measured[length, contender], metric) for length in lengths]
        low, high = np.array([mean_interval(of_videos) for of_videos in values]).T
        return Line(np.array(lengths), np.array([finite_mean(of_videos) for of_videos in values]), low, high)

    contenders = (*plan.contenders, CEILING)
    panels = {
        metric: {_name(contender): against_length(metric, contender) for contender in contenders} for metric in PLOTTED
    }
    save_lines(out / "consistency.png", panels, "frames of the video")

    def against_distance(contender: str) -> Line:
        curves = np.array([video["to anchor"] for video in measured[lengths[-1], contender]])[:, 1 : lengths[-1] // 2]
        low, high = np.array([mean_interval(column) for column in curves.T]).T
        return Line(np.arange(1, curves.shape[1] + 1), curves.mean(axis=0), low, high)

    if lengths[-1] >= 4:
        title = f"identity: cosine distance to the anchor frame, {lengths[-1]} frames"
        lines = {_name(contender): against_distance(contender) for contender in contenders}
        save_lines(out / "distance.png", {title: lines}, "frames away from the anchor")


def _name(contender: str) -> str:
    return CEILING_NAME if contender == CEILING else NAMES[contender]


def _values(videos: Sequence[Mapping[str, Any]], metric: str) -> Float[np.ndarray, "N"]:
    return np.array([video["scores"][metric] for video in videos], np.float64)
