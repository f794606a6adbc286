"""What a person wants to know of a folder of records: numbers, whether it is whole, what it looks like."""

import json
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from adiff_jax.app.sheets import contact_sheet, draw_landmarks, pick_frames
from adiff_jax.data.schema import VERSION, ClipRecord
from adiff_jax.data.source import Manifest, ShardSource, verify
from adiff_jax.data.storage import Folder
from adiff_jax.prep.engine import PAGE, REPORT


def describe(folder: str) -> str:
    """A few lines about a folder of records.

    Raises:
        RecordError: it is none, or damaged.
    """
    manifest, files = Manifest.read(folder), Folder(folder)
    frames = sum(shard.frames for shard in manifest.shards)
    lines = [
        f"{folder}: {manifest.clips:,} clips, {frames:,} frames of {manifest.size} x {manifest.size}",
        f"shards: {len(manifest.shards)}, {sum(files.size(shard.file) for shard in manifest.shards) / 1e6:,.1f} MB",
        f"schema version: {manifest.version}" + (f" (this program writes {VERSION})" * (manifest.version != VERSION)),
        f"shortest clip: {manifest.shortest} frames",
        "",
        *_describe_record(ShardSource(folder)[0]),
    ]
    if (text := files.read_text(REPORT)) is not None:
        report = json.loads(text)
        lines += ["", f"made of {report['inputs']:,} inputs ({folder}/{PAGE})"]
        for key in ("rejected", "rejected_parts"):
            counts = ", ".join(f"{count:,} {reason}" for reason, count in report.get(key, {}).items())
            lines.append(f"{key.replace('_', ' ')}: {counts or 'none'}")
    return "\n".join(lines)


def _describe_record(record: ClipRecord) -> list[str]:
    info = record.info
    lines = [f"the first record, {info.id}, {len(record)} frames at {info.fps:g} a second:"]
    for name in ("identity", "source", "licence", "consent", "attributes", "measures"):
        if value := getattr(info, name):
            lines.append(f"  {name}: {value}")
    lines += [f"  caption: {caption}" for caption in info.captions[:1]]
    for name in ("times", "landmarks", "blendshapes", "pose", "moments", "clip_image", "clip_text", "face_embedding"):
        if (value := getattr(record, name)) is not None:
            lines.append(f"  {name}: {value.dtype} {list(value.shape)}")
    if record.labels:
        lines.append(f"  labels: {len(record.labels)} label maps")
    return lines


def verify_records(folder: str, progress: Callable[[int, int], None] | None = None) -> Manifest:
    """Checks the SHA-256 of every shard, then reads every record and decodes its first and last frame.

    Raises:
        RecordError: naming what is missing or damaged.
    """
    manifest = verify(folder)
    source = ShardSource(folder)
    for index in range(len(source)):
        record = source[index]
        record.frames[np.array([0, len(record) - 1])]
        if progress:
            progress(index + 1, len(source))
    return manifest


def draw_records(
    folder: str, clips: int = 16, frames: int = 8, landmarks: bool = True
) -> tuple[UInt8[np.ndarray, "Y X 3"], list[str]]:
    """A contact sheet of some clips, spread over the folder, and a line about each.

    Raises:
        RecordError: it is no folder of records, or damaged.
        ValueError: `clips` or `frames` is below 1.
    """
    if clips < 1 or frames < 1:
        raise ValueError(f"at least 1 clip and 1 frame are needed, not {clips} and {frames}")
    source = ShardSource(folder)
    rows, names = [], []
    for index in pick_frames(len(source), clips):
        record = source[index]
        chosen = np.array(pick_frames(len(record), frames))
        chosen = np.concatenate([chosen, np.repeat(chosen[-1:], frames - len(chosen))])  # a clip of fewer frames
        pictures = record.frames[chosen]
        rows.append(list(pictures))
        if landmarks:
            rows.append([draw_landmarks(record.landmarks[place], pictures.shape[1]) for place in chosen])
        caption = " ".join(record.info.captions[:1])
        names.append(f"{record.info.id}: {record.info.identity}, {len(record)} frames. {caption}".rstrip())
    return contact_sheet(rows), names
