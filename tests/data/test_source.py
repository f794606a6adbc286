"""Sources: what is on disk is checked by name, and a synthetic clip is a function of its seed."""

import json
import pickle

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter

from adiff_jax.data.loader import make_loader
from adiff_jax.data.schema import RecordError
from adiff_jax.data.source import (
    MANIFEST,
    Manifest,
    Shard,
    ShardSource,
    SyntheticSource,
    open_source,
    sha256,
    verify,
)
from adiff_jax.data.transforms import autoencoder_transforms


@pytest.fixture
def records(tmp_path, clips):
    """A folder of two shards, of 16 and 8 clips."""
    shards = []
    for name, indices in (("records-0", range(16)), ("records-1", range(16, 24))):
        writer = ArrayRecordWriter(str(tmp_path / name), "group_size:1,uncompressed")
        for index in indices:
            writer.write(clips[index].to_bytes())
        writer.close()
        shards.append(Shard(name, len(indices), 12 * len(indices), sha256(tmp_path / name)))
    (tmp_path / MANIFEST).write_text(Manifest(size=32, shortest=12, shards=tuple(shards)).to_json())
    return tmp_path


def test_clips_in_order(records, clips):
    source = open_source(records)
    assert isinstance(source, ShardSource)
    assert len(source) == 24
    assert [source[index].info.id for index in (0, 15, 16, 23)] == ["clip-0", "clip-15", "clip-16", "clip-23"]
    assert source[20].to_bytes() == clips[20].to_bytes()


def test_loader_over_shards_with_and_without_worker_processes(records, clips):
    def batch(source, **options):
        iterator = make_loader(source, autoencoder_transforms(), batch_size=8, seed=0, **options)
        try:
            return next(iterator)
        finally:
            iterator.close()

    stored = batch(open_source(records))
    np.testing.assert_array_equal(stored["landmarks"], batch(clips)["landmarks"])
    np.testing.assert_array_equal(stored["image"], batch(open_source(records), num_workers=1)["image"])
    # Pictures differ by what JPEG loses.
    assert np.abs(stored["image"] - batch(clips)["image"]).mean() < 2 / 127.5


def test_manifest_round_trip(records):
    manifest = verify(records)
    assert manifest.clips == 24
    assert json.loads((records / MANIFEST).read_text())["clips"] == 24
    assert Manifest.read(records) == manifest


def test_a_changed_byte_is_found(records):
    path = records / "records-1"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(RecordError, match=r"records-1 was changed or damaged"):
        verify(records)


def test_a_missing_shard_is_named(records):
    (records / "records-1").unlink()
    with pytest.raises(RecordError, match="records-1 is missing"):
        verify(records)
    with pytest.raises(RecordError, match="lacks the shard records-1"):
        open_source(records)


def test_swapped_shards_are_found(records):
    (records / "records-0").write_bytes((records / "records-1").read_bytes())
    with pytest.raises(RecordError, match="holds 16 clips, its manifest says 24"):
        open_source(records)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no manifest.json"),
        ("{", "is damaged"),
        ("{}", "is damaged"),
        ("[]", "is damaged"),
        ('{"version": 9, "size": 1, "shortest": 1, "shards": []}', "schema version 9, this program reads 1 to 4"),
        ('{"version": 1, "size": 1, "shortest": 1, "shards": []}', "holds no clip"),
    ],
)
def test_bad_manifests(text, message, tmp_path):
    if text is not None:
        (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(RecordError, match=message):
        open_source(tmp_path)


def test_synthetic_clips_follow_from_their_seed():
    source = open_source("synthetic:5:100", num_frames=3, size=64)
    assert len(source) == 5
    clip, again = source[2], open_source("synthetic:1:102", num_frames=3, size=64)[0]
    assert clip.info == again.info
    assert clip.info.source == "synthetic:102"
    assert len(set(clip.info.captions)) > 1
    every = np.arange(3)
    assert clip.frames[every].shape == (3, 64, 64, 3)
    np.testing.assert_array_equal(clip.frames[every], again.frames[every])
    np.testing.assert_array_equal(clip.landmarks, again.landmarks)
    assert source[3].info.id != clip.info.id
    with pytest.raises(IndexError, match="clip 5 of 5"):
        source[5]


def test_synthetic_source_travels_to_workers():
    source = open_source("synthetic:5", num_frames=3, size=64)
    assert isinstance(source, SyntheticSource)
    assert pickle.loads(pickle.dumps(source)) == source


@pytest.mark.parametrize("spec", ["synthetic:", "synthetic:0", "synthetic:x", "synthetic:3:4:5", "synthetic:-3"])
def test_bad_synthetic_specs(spec):
    with pytest.raises(RecordError, match="synthetic:N or synthetic:N:SEED"):
        open_source(spec)


def test_neither_folder_nor_synthetic(tmp_path):
    with pytest.raises(RecordError, match="not a folder of records"):
        open_source(tmp_path / "absent")
