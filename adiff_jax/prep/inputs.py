"""What is to be prepared, as a list of inputs: videos of a folder or of a manifest, drawn heads, or records."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from adiff_jax.data.schema import ClipRecord, RecordError
from adiff_jax.data.source import ClipSource, Shard, ShardSource, SyntheticSource, open_source
from adiff_jax.data.storage import Folder
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.prep.items import VIDEO_SUFFIXES, Item, VideoFolder
from adiff_jax.prep.manifests import read_manifest
from adiff_jax.prep.options import PrepareOptions
from adiff_jax.prep.outcome import ClipRejected, Outcome
from adiff_jax.prep.sniffing import HEAD, check_name
from adiff_jax.prep.stages import fact_of, video_clips

Made = tuple[Outcome, list[ClipRecord]]


@dataclasses.dataclass(frozen=True)
class Input:
    """One thing to prepare: its name, a fingerprint that changes when it does, and how its clips are made.

    It is sent to worker processes, so `make` must be picklable.
    """

    name: str
    fingerprint: str
    make: Callable[[], Made]


def synthetic_inputs(spec: str, options: PrepareOptions) -> list[Input]:
    """Drawn heads, `synthetic:N[:SEED]`."""
    source = open_source(spec, num_frames=options.longest, size=options.size, fps=options.synthetic_fps)
    assert isinstance(source, SyntheticSource)
    source = dataclasses.replace(source, labels=options.synthetic_labels)
    return [
        Input(name := f"synthetic:{source.seed + index}", name, partial(_clip_of, source, index, name))
        for index in range(len(source))
    ]


def folder_inputs(folder: str, options: PrepareOptions, detector: LandmarkDetector) -> list[Input]:
    """The videos of a folder, through all its folders, and the files that are videos but not named so."""
    files, videos = _videos(folder)
    licence = files.read_text("LICENCE.txt") or files.read_text("LICENSE.txt") or ""
    inputs = []
    for name in videos.names:
        if Path(name).suffix.lower() in VIDEO_SUFFIXES:
            item = Item(id=name, path=videos.address(name), licence=" ".join(licence.split()))
            inputs.append(_video_input(files, name, item, options, detector))
        elif (outcome := _misnamed(files, name)) is not None:
            inputs.append(Input(name, f"{files.size(name)} bytes", partial(_only, outcome)))
    if not inputs:
        raise RecordError(f"no video in {folder} (looked for {', '.join(sorted(VIDEO_SUFFIXES))})")
    return inputs


def manifest_inputs(
    manifest: Path, folder: str, options: PrepareOptions, detector: LandmarkDetector, kind: str, texts: Path | None
) -> list[Input]:
    """The clips of a manifest, whose videos are in `folder`."""
    files, videos = _videos(folder)
    inputs = []
    for item in read_manifest(manifest, videos, kind, texts):
        name = item.path.removeprefix(videos.address(""))
        if item.path:
            inputs.append(_video_input(files, name, item, options, detector))
        else:
            inputs.append(Input(item.id, "missing", partial(video_clips, item, detector, options)))
    return inputs


def record_shards(folder: str | Path) -> list[list[Input]]:
    """The clips of prepared shards, shard by shard."""
    source = ShardSource(folder)
    shards, start = [], 0
    for shard in source.manifest.shards:
        indices = range(start, start + shard.clips)
        shards.append([_record_input(source, index, shard) for index in indices])
        start += shard.clips
    return shards


def dealt(inputs: Sequence[Input], per_shard: int) -> list[list[Input]]:
    """The inputs shard by shard."""
    return [list(inputs[start : start + per_shard]) for start in range(0, len(inputs), per_shard)]


def _videos(folder: str) -> tuple[Folder, VideoFolder]:
    files = Folder(folder)
    if files.is_local and not Path(files.address).is_dir():
        raise RecordError(f"{folder} is no folder: give a folder of videos, or synthetic:N")
    return files, VideoFolder(files.address, files.names())


def _video_input(files: Folder, name: str, item: Item, options: PrepareOptions, detector: LandmarkDetector) -> Input:
    # What the manifest says of the clip is part of what it is made of.
    told = hashlib.sha256(repr(dataclasses.replace(item, path="")).encode()).hexdigest()
    return Input(item.id, f"{files.size(name)} bytes, {told}", partial(video_clips, item, detector, options))


def _misnamed(files: Folder, name: str) -> Outcome | None:
    if not files.is_local:
        return None  # to look into every file of a bucket costs more than it gives
    with (Path(files.address) / name).open("rb") as file:
        try:
            check_name(name, file.read(HEAD))
        except ClipRejected as rejected:
            return Outcome(name, rejected.reason, str(rejected))
    return None


def _record_input(source: ShardSource, index: int, shard: Shard) -> Input:
    name = f"{shard.file}[{index}]"
    return Input(name, shard.sha256, partial(_clip_of, source, index, name))


def _clip_of(source: ClipSource, index: int, name: str) -> Made:
    record = source[index].compressed()
    return Outcome(name, kept=(fact_of(record),)), [record]


def _only(outcome: Outcome) -> Made:
    return outcome, []
