"""Preparation: inputs dealt into parts, each made once; then the collection as a whole; then the shards.

    inputs ──► parts (worker processes, or a Ray cluster) ──► duplicates, persons ──► shards ──► manifest, report

Every step leaves whole files behind, and a step whose files are there is not done again: a run that was killed at any
moment goes on where it stopped, to the same bytes. Nothing in them depends on the engine or the number of workers.
"""

import dataclasses
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import grain

from adiff_jax.data.schema import ClipRecord, RecordError
from adiff_jax.data.source import MANIFEST, Manifest, Shard, verify
from adiff_jax.data.storage import Folder
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.prep.cluster import Cluster
from adiff_jax.prep.duplicates import duplicates
from adiff_jax.prep.identities import identities
from adiff_jax.prep.inputs import Input, dealt, folder_inputs, manifest_inputs, record_shards, synthetic_inputs
from adiff_jax.prep.options import DuplicateOptions, Engine, IdentityOptions, PrepareOptions, RayOptions
from adiff_jax.prep.outcome import Outcome, Rejection, Report, as_json
from adiff_jax.prep.page import page
from adiff_jax.prep.parts import PARTS, Part, attempt, crashed, part_file, write_part
from adiff_jax.prep.pool import Pool
from adiff_jax.prep.stages import Encoders
from adiff_jax.prep.writer import Written, write_shard

REPORT = "report.json"
PAGE = "report.html"
_JOB = "job.json"
_SHARD = re.compile(r"records-\d{5,}\.arrayrecord")
_VERSION = 2  # of what parts note of their clips; a run of another version cannot be gone on with

Progress = Callable[[int, int], None]
_DEFAULTS, _NO_ENCODERS, _NO_RAY = PrepareOptions(), Encoders(), RayOptions()


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What the look at the whole collection changes in one shard: clips to leave out, and new identities."""

    dropped: Mapping[str, str]
    renamed: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.dropped or self.renamed)


def prepare(
    source: str | Path,
    out: str | Path,
    options: PrepareOptions = _DEFAULTS,
    *,
    videos: str | Path | None = None,
    kind: str = "auto",
    texts: Path | None = None,
    encoders: Encoders = _NO_ENCODERS,
    detector: LandmarkDetector | None = None,
    workers: int = 1,
    engine: Engine = "local",
    ray: RayOptions = _NO_RAY,
    progress: Progress | None = None,
) -> Report:
    """Makes a folder of records out of videos or synthetic heads.

    An input that cannot be used is noted with its reason in `report.json` and `report.html` and never stops the run.
    Run again after an interruption, it makes what is missing or changed; the result is that of one undisturbed run,
    byte for byte. Inputs at which it failed (`error`, `crash`) are tried once more by each run.

    Args:
        source: a folder of videos, searched through all its folders; a manifest, if `videos` is given; or
            `synthetic:N[:SEED]`. Folders may be addresses (gs://, s3://).
        out: folder to write: shards, `manifest.json`, the report.
        options: what the records depend on.
        videos: folder of the videos that the manifest `source` lists.
        kind: the manifest's format, see `manifests.FORMATS`; "auto" recognises it.
        texts: folder of captions, see `manifests.read_manifest`.
        encoders: models whose output is added to the records.
        detector: finds landmarks in videos; None makes one with its defaults when it is needed.
        workers: processes that make clips, beside this one if more than 1; encoders run in this one.
        engine: where parts are made: "local", or on a "ray" cluster.
        ray: options of that engine.
        progress: called with the numbers of finished and of all inputs after each part.

    Raises:
        RecordError: if there is no input, none could be used, or `out` holds records of another source or options.
        ValueError: if another process is at work in `out`.
    """
    if str(source).startswith("synthetic:"):
        inputs = synthetic_inputs(str(source), options)
        options = dataclasses.replace(
            options, duplicates=DuplicateOptions(duplicate_bits=-1)
        )  # each is another by design
    elif videos is not None:
        detector = detector or LandmarkDetector()
        inputs = manifest_inputs(Path(source), str(videos), options, detector, kind, texts)
    else:
        inputs = folder_inputs(str(source), options, detector or LandmarkDetector())
    job = {"version": _VERSION, "source": str(source), "encoders": encoders.name, **dataclasses.asdict(options)}
    if videos is not None:
        job |= {"videos": str(videos), "texts": texts and str(texts)}
    shards = dealt(inputs, options.inputs_per_shard)
    maker = _maker(engine, workers, ray, encoders)
    with Folder(out).writer() as folder:
        return _run(folder, job, shards, maker, options, progress)


def encode_records(
    records: str | Path,
    out: str | Path,
    encoders: Encoders,
    *,
    workers: int = 1,
    engine: Engine = "local",
    ray: RayOptions = _NO_RAY,
    progress: Progress | None = None,
) -> Report:
    """Copies a folder of records, adding what the encoders give; resumes like `prepare`.

    Raises:
        RecordError: if `records` cannot be used, or `out` holds records of another source or encoder.
        ValueError: if another process is at work in `out`.
    """
    verify(records)
    job = {"version": _VERSION, "source": str(records), "encoders": encoders.name}
    options = PrepareOptions(
        duplicates=DuplicateOptions(duplicate_bits=-1),
        identities=IdentityOptions() if encoders.face else IdentityOptions(person_similarity=2.0),
    )
    maker = _maker(engine, workers, ray, encoders)
    with Folder(out).writer() as folder:
        return _run(folder, job, record_shards(records), maker, options, progress)


@runtime_checkable
class Maker(Protocol):
    """Where inputs are worked on."""

    def parts(self, out: Folder, shards: Mapping[int, Sequence[Input]]) -> Iterator[tuple[int, Part]]:
        """Makes parts, by their numbers, in any order."""

    def outcomes(self, shards: Mapping[int, Sequence[Input]], deadly: bool) -> Iterator[tuple[int, list[Outcome]]]:
        """Tries inputs, of which some may be deadly to processes, and writes nothing; by their parts, in any order."""


def _maker(engine: Engine, workers: int, ray: RayOptions, encoders: Encoders) -> Maker:
    return Cluster(encoders, ray) if engine == "ray" else _Here(encoders, workers)


@dataclasses.dataclass(frozen=True)
class _Here:
    """This machine, with worker processes, which run ahead of this one over the borders of parts."""

    encoders: Encoders
    workers: int

    def parts(self, out: Folder, shards: Mapping[int, Sequence[Input]]) -> Iterator[tuple[int, Part]]:
        with Pool(self.workers) as pool:
            attempts = pool.map(attempt, itertools.chain(*shards.values()), crashed)
            for index, inputs in shards.items():
                yield index, write_part(out, index, inputs, itertools.islice(attempts, len(inputs)), self.encoders)

    def outcomes(self, shards: Mapping[int, Sequence[Input]], deadly: bool) -> Iterator[tuple[int, list[Outcome]]]:
        with Pool(self.workers, isolated=deadly) as pool:
            attempts = pool.map(attempt, itertools.chain(*shards.values()), crashed)
            for index, inputs in shards.items():
                yield index, [outcome for outcome, _ in itertools.islice(attempts, len(inputs))]


def _run(
    out: Folder,
    job: dict[str, Any],
    shards: Sequence[Sequence[Input]],
    maker: Maker,
    options: PrepareOptions,
    progress: Progress | None,
) -> Report:
    """Makes the parts and shards that are not there yet, then the manifest and the report."""
    _claim(out, job)
    parts = {index: Part.read(out, index, inputs) for index, inputs in enumerate(shards)}
    made = {index: part for index, part in parts.items() if part and _is_there(out, index, part)}
    _try_again(out, shards, made, maker)
    total, done = sum(map(len, shards)), sum(len(shards[index]) for index in made)
    missing = {index: inputs for index, inputs in enumerate(shards) if index not in made}
    if progress and done:
        progress(done, total)
    for index, part in maker.parts(out, missing):
        made[index] = part
        done += len(shards[index])
        if progress:
            progress(done, total)

    ordered = [made[index] for index in range(len(shards))]
    plans = _plans(ordered, options)
    while redo := [index for index, plan in enumerate(plans) if _is_outdated(out, index, ordered[index], plan)]:
        for index, part in maker.parts(out, {index: shards[index] for index in redo}):
            ordered[index] = part  # may be another, where models do not give the same twice: this needs a new look
        plans = _plans(ordered, options)
    written = [_shard(out, index, part, plan) for index, (part, plan) in enumerate(zip(ordered, plans, strict=True))]
    return _finish(out, job, ordered, plans, [shard for shard in written if shard])


def _try_again(out: Folder, shards: Sequence[Sequence[Input]], made: dict[int, Part], maker: Maker) -> None:
    """Tries each input once more that failed; a part that gets clips of one must be made anew, and leaves `made`."""
    failed = {
        index: [item for item, outcome in zip(shards[index], part.outcomes, strict=True) if outcome.failed]
        for index, part in made.items()
    }
    failed = {index: inputs for index, inputs in failed.items() if inputs}
    deadly = any(outcome.reason == "crash" for part in made.values() for outcome in part.outcomes)
    for index, outcomes in maker.outcomes(failed, deadly):
        part = made.pop(index)
        if any(outcome.kept for outcome in outcomes):
            continue
        now = iter(outcomes)
        both = tuple(next(now) if outcome.failed else outcome for outcome in part.outcomes)
        made[index] = dataclasses.replace(part, outcomes=both)
        if made[index] != part:
            made[index].write(out, index)


def _claim(out: Folder, job: dict[str, Any]) -> None:
    """Marks `out` as the folder of this job; another job's folder is refused."""
    text = out.read_text(_JOB)
    if text is None:
        out.write_text(_JOB, as_json(job))
    else:
        other, job = json.loads(text), json.loads(as_json(job))
        changed = [f"{key} {other.get(key)!r}" for key in sorted(other.keys() | job) if other.get(key) != job.get(key)]
        if changed:
            raise RecordError(f"{out} holds records made with {', '.join(changed)}: choose another folder or delete it")
    for folder in (out, out / PARTS):
        folder.clean()


def _shard_file(index: int) -> str:
    return f"records-{index:05d}.arrayrecord"


def _is_there(out: Folder, index: int, part: Part) -> bool:
    """Whether the part's records are there, as a part or as a shard."""
    return not part.written or out.exists(part_file(index)) or _finished(out, index) is not None


@dataclasses.dataclass(frozen=True)
class _Finished:
    """A finished shard: the part it was made of, the plan, and the file; noted beside it."""

    part: str
    plan: list[Any]
    written: Written | None


def _finished(out: Folder, index: int) -> _Finished | None:
    """The note of a finished shard, if its file is there."""
    text = out.read_text(f"{PARTS}/{index:05d}.shard.json")
    if text is None:
        return None
    fields = json.loads(text)
    written = fields["written"]
    if written:
        written = Written(**written | {"shard": Shard(**written["shard"])})
        if not out.exists(_shard_file(index)):
            return None
    return _Finished(fields["part"], fields["plan"], written)


def _wanted(part: Part, plan: _Plan) -> tuple[str, list[Any]]:
    """What a finished shard must have been made of."""
    return part.written.shard.sha256 if part.written else "", [dict(plan.dropped), dict(plan.renamed)]


def _is_outdated(out: Folder, index: int, part: Part, plan: _Plan) -> bool:
    """Whether a shard must be made, and its part's records are gone: they became a shard by another plan."""
    finished = _finished(out, index)
    fresh = finished and (finished.part, finished.plan) == _wanted(part, plan)
    return bool(part.written) and not fresh and not out.exists(part_file(index))


def _plans(parts: Sequence[Part], options: PrepareOptions) -> list[_Plan]:
    """The look at the whole collection."""
    facts = [fact for part in parts for outcome in part.outcomes for fact in outcome.kept]
    same = duplicates(facts, options.duplicates)
    person = identities([fact for fact in facts if fact.clip not in same], options.identities)
    plans = []
    for part in parts:
        clips = [fact.clip for outcome in part.outcomes for fact in outcome.kept]
        plans.append(
            _Plan(
                {clip: same[clip] for clip in clips if clip in same},
                {clip: person[clip] for clip in clips if clip in person},
            )
        )
    return plans


def _shard(out: Folder, index: int, part: Part, plan: _Plan) -> Written | None:
    """Makes a shard of a part, or finds it made. Nothing to change: the part's file becomes the shard."""
    wanted = _wanted(part, plan)
    finished = _finished(out, index)
    if finished and (finished.part, finished.plan) == wanted:
        out.remove(part_file(index))  # left by a run that was killed just here
        return finished.written
    name, written = _shard_file(index), None
    if part.written and plan:
        with out.reading(part_file(index)) as path:
            records = grain.sources.ArrayRecordDataSource([str(path)])
            written = write_shard(out, name, _changed(map(ClipRecord.from_bytes, records), plan))
    elif part.written:
        out.move(part_file(index), name)
        written = dataclasses.replace(part.written, shard=dataclasses.replace(part.written.shard, file=name))
    else:
        out.remove(name)
    note = _Finished(*wanted, written)
    out.write_text(f"{PARTS}/{index:05d}.shard.json", as_json(dataclasses.asdict(note)))
    out.remove(part_file(index))
    return written


def _changed(records: Iterable[ClipRecord], plan: _Plan) -> Iterator[ClipRecord]:
    for record in records:
        if record.info.id in plan.dropped:
            continue
        if identity := plan.renamed.get(record.info.id):
            record = dataclasses.replace(record, info=dataclasses.replace(record.info, identity=identity))
        yield record


def _finish(
    out: Folder, job: dict[str, Any], parts: Sequence[Part], plans: Sequence[_Plan], written: Sequence[Written]
) -> Report:
    """Writes report and manifest."""
    report = Report(
        tuple(_final(outcome, plan) for part, plan in zip(parts, plans, strict=True) for outcome in part.outcomes)
    )
    out.write_text(REPORT, report.to_json())
    out.write_text(PAGE, page(report, job))
    if not written:
        total = len(report.outcomes)
        raise RecordError(f"none of the {total} inputs gave a clip ({report.reasons}): see {out}/{REPORT}")
    manifest = Manifest(
        size=written[0].size,
        shortest=min(shard.shortest for shard in written),
        shards=tuple(shard.shard for shard in written),
    )
    out.write_text(MANIFEST, manifest.to_json())
    listed = {shard.file for shard in manifest.shards}
    for name in out.names(below=False):  # of inputs that are no longer there
        if _SHARD.fullmatch(name) and name not in listed:
            out.remove(name)
    return report


def _final(outcome: Outcome, plan: _Plan) -> Outcome:
    """The outcome after the look at the whole collection."""
    kept = [
        dataclasses.replace(fact, identity=plan.renamed.get(fact.clip, fact.identity))
        for fact in outcome.kept
        if fact.clip not in plan.dropped
    ]
    same = [
        Rejection(fact.clip, 0.0, fact.seconds, "duplicate", f"of {plan.dropped[fact.clip]}", fact.picture)
        for fact in outcome.kept
        if fact.clip in plan.dropped
    ]
    if not same:
        return dataclasses.replace(outcome, kept=tuple(kept))
    reason, detail = ("", "") if kept else ("duplicate", same[0].detail)
    return dataclasses.replace(
        outcome, kept=tuple(kept), rejected=(*outcome.rejected, *same), reason=reason, detail=detail
    )
