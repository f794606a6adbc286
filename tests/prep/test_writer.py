"""Shards appear whole or not at all."""

import numpy as np
import pytest

from adiff_jax.data.schema import ClipInfo, ClipRecord
from adiff_jax.data.source import sha256
from adiff_jax.data.storage import Folder
from adiff_jax.prep.writer import write_shard


def clip(seed: int, frames: int) -> ClipRecord:
    pictures = np.full((frames, 16, 16, 3), seed, np.uint8)
    return ClipRecord(ClipInfo(str(seed)), pictures, np.arange(frames) / 25, np.zeros((frames, 478, 3), np.float32))


def test_what_was_written(tmp_path):
    path = tmp_path / "records-00000.arrayrecord"
    written = write_shard(Folder(tmp_path), path.name, [clip(1, 5), clip(2, 3)])
    assert written.shard.file == path.name
    assert (written.shard.clips, written.shard.frames, written.shortest, written.size) == (2, 8, 3, 16)
    assert written.shard.sha256 == sha256(path)
    again = write_shard(Folder(tmp_path), "again", [clip(1, 5), clip(2, 3)])
    assert again.shard.sha256 == written.shard.sha256


def test_a_failure_leaves_nothing(tmp_path):
    def failing():
        yield clip(1, 5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(Folder(tmp_path), "shard", failing())
    assert list(tmp_path.iterdir()) == []


def test_no_record_no_file(tmp_path):
    assert write_shard(Folder(tmp_path), "shard", []) is None
    assert list(tmp_path.iterdir()) == []
