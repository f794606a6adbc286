"""Writes shards of records so that a run that is killed leaves whole files only."""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from adiff_jax.data.schema import ClipRecord
from adiff_jax.data.source import Shard, sha256


@dataclasses.dataclass(frozen=True)
class Written:
    """A shard that was written, and what its manifest needs beside: picture size and frames of the shortest clip."""

    shard: Shard
    size: int
    shortest: int


def write_shard(path: Path, records: Iterable[ClipRecord]) -> Written | None:
    """Writes records to an ArrayRecord file, aside and then renamed; the same records give the same bytes.

    Returns:
        What was written, or None, and no file, if there is no record.
    """
    aside = path.with_name(path.name + ".tmp")
    lengths, size = [], 0
    # One record a group: random access reads no neighbours. Most bytes are JPEG, so compression would gain little.
    writer = ArrayRecordWriter(str(aside), "group_size:1,uncompressed")
    try:
        for record in records:
            writer.write(record.to_bytes())
            lengths.append(len(record))
            size = record.frames[np.zeros(1, int)].shape[1]
    except BaseException:
        writer.close()
        aside.unlink(missing_ok=True)
        raise
    writer.close()
    if not lengths:
        aside.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        return None
    shard = Shard(file=path.name, clips=len(lengths), frames=sum(lengths), sha256=sha256(aside))
    os.replace(aside, path)
    return Written(shard=shard, size=size, shortest=min(lengths))


def write_text(path: Path, text: str) -> None:
    """Writes a small text file, aside and then renamed."""
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
