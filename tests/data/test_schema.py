"""Records: what goes in comes out, equal records are equal bytes, and what is no record is refused by name."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy

from adiff_jax.data import schema
from adiff_jax.data.schema import ClipRecord, JpegFrames, RecordError


def full(clip: ClipRecord) -> ClipRecord:
    rng = np.random.default_rng(0)
    frames = len(clip)
    return dataclasses.replace(
        clip,
        blendshapes=rng.random((frames, 52)).astype(np.float32),
        pose=rng.standard_normal((frames, 4, 4)).astype(np.float32),
        moments=rng.standard_normal((frames, 4, 4, 8)).astype(np.float16),
        clip_image=rng.standard_normal((frames, 16)).astype(np.float16),
        clip_text=rng.standard_normal((2, 16)).astype(np.float16),
    )


@pytest.mark.parametrize("complete", [True, False])
def test_round_trip(make_clip, complete):
    clip = full(make_clip(3)) if complete else make_clip(3)
    read = ClipRecord.from_bytes(clip.to_bytes())
    assert read.info == clip.info
    for field in ("times", "landmarks", "blendshapes", "pose", "moments", "clip_image", "clip_text"):
        before, after = getattr(clip, field), getattr(read, field)
        if before is None:
            assert after is None
        else:
            np.testing.assert_array_equal(after, before)
            assert after.dtype == before.dtype


def test_equal_records_give_equal_bytes(make_clip):
    data = full(make_clip(3)).to_bytes()
    assert full(make_clip(3)).to_bytes() == data
    assert ClipRecord.from_bytes(data).to_bytes() == data
    assert make_clip(4).to_bytes() != data


def test_frames_decode_alone_and_in_the_order_asked_for(make_clip):
    clip = make_clip(3)
    frames = clip.compressed().frames
    order = np.array([7, 0, 7, 11])
    # Quality 95 with full chroma: a smooth picture loses two levels on average, and keeps its channels apart.
    assert np.abs(frames[order].astype(int) - clip.frames[order]).mean() < 2
    everything = frames[np.arange(len(clip))]
    np.testing.assert_array_equal(frames[order], everything[order])


def test_chroma_is_not_subsampled():
    stripes = np.zeros((1, 16, 16, 3), np.uint8)
    stripes[:, :, ::2, 0] = 255
    stripes[:, :, 1::2, 2] = 255
    decoded = JpegFrames.encode(stripes)[np.array([0])]
    # With 4:2:0 the red and blue stripes would both become purple, an error of about 127.
    assert np.abs(decoded.astype(int) - stripes).mean() < 10


def test_fields_must_agree_in_length(make_clip):
    clip = make_clip(1)
    with pytest.raises(RecordError, match="clip-1: times has 12 frames, the pictures 3"):
        dataclasses.replace(clip, frames=clip.frames[:3]).to_bytes()


def test_another_version_is_refused(make_clip, monkeypatch):
    monkeypatch.setattr(schema, "VERSION", 99)
    data = make_clip(1).to_bytes()
    monkeypatch.undo()
    with pytest.raises(RecordError, match="schema version 99, this program reads 1 to 4"):
        ClipRecord.from_bytes(data)


@pytest.mark.parametrize("data", [b"", b"not a record", b"\xff" * 64, json.dumps({}).encode()])
def test_other_bytes_are_refused(data):
    with pytest.raises(RecordError, match="not an adiff record"):
        ClipRecord.from_bytes(data)


def test_other_safetensors_are_refused():
    with pytest.raises(RecordError, match="lacks the entry"):
        ClipRecord.from_bytes(safetensors.numpy.save({"x": np.zeros(3, np.float32)}))


def test_a_damaged_picture_is_named(make_clip):
    frames = make_clip(1).compressed().frames
    data = frames.data.copy()
    data[frames.offsets[2] : frames.offsets[3]] = 0
    with pytest.raises(RecordError, match="frame 2"):
        JpegFrames(data, frames.offsets)[np.array([1, 2])]
