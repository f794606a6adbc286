"""Preparation on one machine: inputs dealt into shards, each made once.

videos, or seeds ──► clips (worker processes) ──► encoders (this process) ──► shards ──► manifest, report
"""

import collections
import contextlib
import dataclasses
import json
import logging
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from adiff_jax.data.schema import ClipRecord, RecordError
from adiff_jax.data.source import (
    MANIFEST,
    ClipSource,
    Manifest,
    Shard,
    ShardSource,
    SyntheticSource,
    open_source,
    verify,
)
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.prep.stages import ClipRejected, Encoders, encode, video_clips
from adiff_jax.prep.writer import Written, write_shard, write_text

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
REPORT = "report.json"
_JOB = "job.json"
_PARTS = "parts"

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    """What a prepared data set depends on, beside its source.

    Attributes:
        size: height and width of the pictures, in pixels.
        longest: most frames of a clip; longer videos are cut.
        shortest: fewest frames of a clip; what is shorter is rejected.
        inputs_per_shard: videos or synthetic clips that make one shard.
        synthetic_fps: frames a second of synthetic clips; videos keep theirs.
    """

    size: int = 128
    longest: int = 64
    shortest: int = 16
    inputs_per_shard: int = 16
    synthetic_fps: float = 25.0


_DEFAULTS, _NO_ENCODERS = PrepareOptions(), Encoders()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one input: clips and frames kept, or a reason (a fixed word to count by) and its detail."""

    input: str
    clips: int = 0
    frames: int = 0
    reason: str = ""
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of every input, in order."""

    outcomes: tuple[Outcome, ...]

    @property
    def clips(self) -> int:
        """Number of clips kept."""
        return sum(outcome.clips for outcome in self.outcomes)

    @property
    def reasons(self) -> dict[str, int]:
        """How many inputs were rejected, by reason."""
        return dict(collections.Counter(outcome.reason for outcome in self.outcomes if outcome.reason))

    def to_json(self) -> str:
        """Readable JSON: totals, then a line for each input."""
        totals = {
            "inputs": len(self.outcomes),
            "clips": self.clips,
            "frames": sum(outcome.frames for outcome in self.outcomes),
            "rejected": self.reasons,
        }
        return _json(totals | {"outcomes": [dataclasses.asdict(outcome) for outcome in self.outcomes]})


@dataclasses.dataclass(frozen=True)
class Input:
    """One thing to prepare: its name, a fingerprint that changes when it does, and how its clips are made.

    It is sent to worker processes, so `clips` must be picklable.
    """

    name: str
    fingerprint: str
    clips: Callable[[], Iterable[ClipRecord]]


@dataclasses.dataclass(frozen=True)
class _Part:
    """A finished shard as noted beside it: what it was made of, and what came out."""

    made_of: list[list[str]]
    outcomes: tuple[Outcome, ...]
    written: Written | None

    def to_json(self) -> str:
        return _json(dataclasses.asdict(self))

    @classmethod
    def read(cls, path: Path) -> "_Part | None":
        if not path.is_file():
            return None
        fields = json.loads(path.read_text(encoding="utf-8"))
        outcomes = tuple(Outcome(**outcome) for outcome in fields["outcomes"])
        written = fields["written"]
        if written:
            written = Written(**written | {"shard": Shard(**written["shard"])})
        return cls(fields["made_of"], outcomes, written)


def prepare(
    source: str | Path,
    out: str | Path,
    options: PrepareOptions = _DEFAULTS,
    *,
    encoders: Encoders = _NO_ENCODERS,
    detector: LandmarkDetector | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Makes a folder of records out of videos or synthetic heads.

    An input that cannot be used is noted with its reason in `report.json` and never stops the run. Run again after an
    interruption, it makes what is missing or changed; the result is that of one undisturbed run, byte for byte.

    Args:
        source: a folder of videos, searched through all its folders, or `synthetic:N[:SEED]`.
        out: folder to write: shards, `manifest.json`, `report.json`.
        options: what the records depend on.
        encoders: models whose output is added to the records.
        detector: finds landmarks in videos; None makes one with its defaults when it is needed.
        workers: processes that make clips, beside this one if more than 1; encoders run in this one.
        progress: called with the numbers of finished and of all inputs after each shard.

    Raises:
        RecordError: if there is no input, none could be used, or `out` holds records of another source or options.
    """
    inputs = _synthetic(str(source), options) if str(source).startswith("synthetic:") else None
    if inputs is None:
        inputs = _videos(Path(source), options, detector or LandmarkDetector())
    job = {"source": str(source), "encoders": encoders.name, **dataclasses.asdict(options)}
    step = options.inputs_per_shard
    shards = [inputs[start : start + step] for start in range(0, len(inputs), step)]
    return _run(Path(out), job, shards, encoders, workers, progress)


def encode_records(
    records: str | Path,
    out: str | Path,
    encoders: Encoders,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Copies a folder of records, adding what the encoders give; resumes like `prepare`.

    Raises:
        RecordError: if `records` cannot be used, or `out` holds records of another source or encoder.
    """
    source = ShardSource(records)
    shards, start = [], 0
    for shard in verify(records).shards:
        indices = range(start, start + shard.clips)
        shards.append([_record_input(source, index, shard) for index in indices])
        start += shard.clips
    return _run(Path(out), {"source": str(records), "encoders": encoders.name}, shards, encoders, workers, progress)


def _synthetic(spec: str, options: PrepareOptions) -> list[Input]:
    source = open_source(spec, num_frames=options.longest, size=options.size, fps=options.synthetic_fps)
    assert isinstance(source, SyntheticSource)
    return [
        Input(name := f"synthetic:{source.seed + index}", name, partial(_clip, source, index))
        for index in range(len(source))
    ]


def _videos(folder: Path, options: PrepareOptions, detector: LandmarkDetector) -> list[Input]:
    if not folder.is_dir():
        raise RecordError(f"{folder} is no folder: give a folder of videos, or synthetic:N")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    if not paths:
        raise RecordError(f"no video in {folder} (looked for {', '.join(sorted(VIDEO_SUFFIXES))})")
    clips = partial(
        video_clips, detector=detector, size=options.size, shortest=options.shortest, longest=options.longest
    )
    names = [path.relative_to(folder).as_posix() for path in paths]
    return [
        Input(name, f"{path.stat().st_size} bytes", partial(clips, path, name))
        for path, name in zip(paths, names, strict=True)
    ]


def _record_input(source: ShardSource, index: int, shard: Shard) -> Input:
    return Input(f"{shard.file}[{index}]", shard.sha256, partial(_clip, source, index))


def _clip(source: ClipSource, index: int) -> list[ClipRecord]:
    return [source[index]]


def _run(
    out: Path,
    job: dict[str, Any],
    shards: Sequence[Sequence[Input]],
    encoders: Encoders,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> Report:
    """Makes the shards that are not there yet, then the manifest and the report."""
    _claim(out, job)
    total, done = sum(map(len, shards)), 0
    parts = []
    with contextlib.ExitStack() as stack:
        each = map
        if workers > 1:
            each = stack.enter_context(ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))).map
        for index, inputs in enumerate(shards):
            parts.append(_make_shard(out, index, inputs, encoders, each))
            done += len(inputs)
            if progress:
                progress(done, total)
    report = Report(tuple(outcome for part in parts for outcome in part.outcomes))
    write_text(out / REPORT, report.to_json())
    written = [part.written for part in parts if part.written]
    if not written:
        raise RecordError(f"none of the {total} inputs gave a clip ({report.reasons}): see {out / REPORT}")
    manifest = Manifest(
        size=written[0].size,
        shortest=min(part.shortest for part in written),
        shards=tuple(part.shard for part in written),
    )
    write_text(out / MANIFEST, manifest.to_json())
    return report


def _claim(out: Path, job: dict[str, Any]) -> None:
    """Marks `out` as the folder of this job; another job's folder is refused."""
    path = out / _JOB
    (out / _PARTS).mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        write_text(path, _json(job))
    elif (other := json.loads(path.read_text(encoding="utf-8"))) != job:
        changed = ", ".join(f"{key} {other.get(key)!r}" for key in other.keys() | job if other.get(key) != job.get(key))
        raise RecordError(f"{out} holds records made with {changed}: choose another folder or delete it")


def _make_shard(
    out: Path, index: int, inputs: Sequence[Input], encoders: Encoders, each: Callable[..., Iterable[Any]]
) -> _Part:
    """Makes a shard, or finds it made; `each` is `map`, here or in worker processes."""
    note = out / _PARTS / f"{index:05d}.json"
    path = out / f"records-{index:05d}.arrayrecord"
    made_of = [[item.name, item.fingerprint] for item in inputs]
    part = _Part.read(note)
    if part and part.made_of == made_of and path.is_file() == bool(part.written):
        return part
    outcomes: list[Outcome] = []
    written = write_shard(path, _collect(each(_attempt, inputs), encoders, outcomes))
    part = _Part(made_of, tuple(outcomes), written)
    write_text(note, part.to_json())
    return part


def _collect(
    attempts: Iterable[tuple[Outcome, list[ClipRecord]]], encoders: Encoders, outcomes: list[Outcome]
) -> Iterator[ClipRecord]:
    """The encoded clips of the inputs in turn; notes the outcome of each input."""
    for outcome, clips in attempts:
        outcomes.append(outcome)
        yield from (encode(clip, encoders) for clip in clips)


def _attempt(item: Input) -> tuple[Outcome, list[ClipRecord]]:
    """The clips of one input. One that fails gives none of its clips, and a reason."""
    try:
        clips = [clip.compressed() for clip in item.clips()]
    except ClipRejected as rejected:
        return Outcome(item.name, reason=rejected.reason, detail=str(rejected)), []
    except Exception as error:  # One bad input in a million must not stop the run; the report has it.
        _log.exception("%s failed", item.name)
        return Outcome(item.name, reason="error", detail=f"{type(error).__name__}: {error}"), []
    return Outcome(item.name, clips=len(clips), frames=sum(map(len, clips))), clips


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
