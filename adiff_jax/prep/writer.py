"""Writes shards of records so that a run that is killed leaves whole files only."""

import dataclasses
from collections.abc import Iterable

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from adiff_jax.data.schema import ClipRecord
from adiff_jax.data.source import Shard, sha256
from adiff_jax.data.storage import Folder


@dataclasses.dataclass(frozen=True)
class Written:
    """A shard that was written, and what its manifest needs beside: picture size and frames of the shortest clip."""

    shard: Shard
    size: int
    shortest: int


def write_shard(folder: Folder, name: str, records: Iterable[ClipRecord]) -> Written | None:
    """Writes records to an ArrayRecord file, aside and then renamed; the same records give the same bytes.

    Returns:
        What was written, or None, and no file, if there is no record.
    """
    lengths: list[int] = []
    size = 0
    try:
        with folder.writing(name) as path:
            # One record a group: random access reads no neighbours. Most bytes are JPEG, so compression gains little.
            writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
            try:
                for record in records:
                    writer.write(record.to_bytes())
                    lengths.append(len(record))
                    size = size or record.frames[np.zeros(1, int)].shape[1]
            finally:
                writer.close()
            if not lengths:
                raise _NothingToWrite
            digest = sha256(path)
    except _NothingToWrite:
        folder.remove(name)
        return None
    return Written(Shard(file=name, clips=len(lengths), frames=sum(lengths), sha256=digest), size, min(lengths))


class _NothingToWrite(Exception):
    """No record came."""
