"""Preparation end to end on small videos with a detector that always knows where the face is."""

import dataclasses
import itertools
import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from grey import OPTIONS, DyingDetector, MeshDetector, snapshot, write_video, write_videos

from adiff_jax.data.schema import RecordError
from adiff_jax.data.source import MANIFEST, Manifest, ShardSource, open_source, verify
from adiff_jax.data.synthetic.people import sample_person
from adiff_jax.data.synthetic.render import region_masks
from adiff_jax.media.errors import NoFaceError
from adiff_jax.media.landmarks import FaceLandmarks
from adiff_jax.prep import engine
from adiff_jax.prep.engine import encode_records, prepare
from adiff_jax.prep.options import DuplicateOptions
from adiff_jax.prep.parts import Part, attempt
from adiff_jax.prep.stages import Encoders

SYNTHETIC = dataclasses.replace(OPTIONS, size=64, longest=3, shortest=1)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "a.mp4", [100] * 12)
    write_video(folder / "b" / "lost face.mp4", [150] * 6 + [0] * 2 + [150] * 5)
    write_video(folder / "c.mp4", [0] * 8)
    write_video(folder / "d.mp4", [200] * 3)
    (folder / "e.mp4").write_bytes(b"")
    (folder / "f.MP4").write_bytes(b"not a video at all" * 100)
    (folder / "notes.txt").write_text("no video")
    return folder


def run(videos, out, **options):
    return prepare(videos, out, OPTIONS, detector=MeshDetector(), **options)


def test_videos_become_records(videos, tmp_path):
    report = run(videos, tmp_path)
    source = open_source(tmp_path)
    assert [clip.info.id for clip in source] == ["a.mp4#0", "a.mp4#6", "b/lost face.mp4#0", "b/lost face.mp4#8"]
    assert [len(clip) for clip in source] == [6, 6, 6, 5]
    assert report.clips == source.manifest.clips == 4
    assert (source.manifest.size, source.manifest.shortest) == (32, 5)
    clip = source[3]
    np.testing.assert_allclose(clip.times, np.arange(8, 13) / 25, atol=1e-3)
    assert clip.info.fps == 25
    assert clip.info.identity == "b/lost face.mp4"
    # A plain grey video stays so: H.264 and JPEG together move it by a level or two.
    np.testing.assert_allclose(clip.frames[np.array([0, 4])], 150, atol=4)
    assert np.abs(clip.landmarks[..., :2]).max() < 1
    assert np.ptp(clip.landmarks[0, :, 1]) > 0.9  # the face fills about half of the crop or more


def test_failures_are_reported_and_stop_nothing(videos, tmp_path):
    report = run(videos, tmp_path)
    reasons = {outcome.input: outcome.reason for outcome in report.outcomes}
    assert reasons == {
        "a.mp4": "",
        "b/lost face.mp4": "",
        "c.mp4": "no face",
        "d.mp4": "too short",
        "e.mp4": "unreadable",
        "f.MP4": "unreadable",
    }
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["rejected"] == {"no face": 1, "too short": 1, "unreadable": 2}
    assert written["clips"] == 4
    assert all(outcome["detail"] for outcome in written["outcomes"] if outcome["reason"])


class FailingDetector(MeshDetector):
    """Fails, in a way that nobody expects, on a video of a certain grey."""

    def video(self, frames, face=None) -> FaceLandmarks:
        first = next(frames)
        if 145 < first.image.mean() < 155:
            raise ZeroDivisionError("division by zero")
        return super().video(itertools.chain([first], frames), face)


def test_an_unforeseen_error_is_one_inputs_own(videos, tmp_path):
    report = prepare(videos, tmp_path, OPTIONS, detector=FailingDetector())
    assert report.reasons["error"] == 1
    assert "ZeroDivisionError: division by zero" in (tmp_path / "report.json").read_text()
    assert [clip.info.source for clip in ShardSource(tmp_path)] == ["a.mp4", "a.mp4"]


class BlindDetector(MeshDetector):
    """Finds no face in a video of a certain grey."""

    def video(self, frames, face=None) -> FaceLandmarks:
        first = next(frames)
        if 145 < first.image.mean() < 155:
            raise NoFaceError("no face found")
        return super().video(itertools.chain([first], frames), face)


@pytest.mark.parametrize("better", [MeshDetector(), BlindDetector()], ids=["a clip", "no clip"])
def test_an_error_that_has_passed_leaves_no_trace(videos, tmp_path, better):
    prepare(videos, tmp_path / "whole", OPTIONS, detector=better)
    prepare(videos, tmp_path / "out", OPTIONS, detector=FailingDetector())
    report = prepare(videos, tmp_path / "out", OPTIONS, detector=better)
    assert "error" not in report.reasons
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole")


def test_an_error_that_stays_costs_an_attempt_and_changes_nothing(videos, tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(engine, "attempt", lambda item: tried.append(item.name) or attempt(item))
    prepare(videos, tmp_path, OPTIONS, detector=FailingDetector())
    whole = snapshot(tmp_path)
    times = [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("[!.mr]*/*"))]
    tried.clear()
    prepare(videos, tmp_path, OPTIONS, detector=FailingDetector())
    assert tried == ["b/lost face.mp4"]
    assert snapshot(tmp_path) == whole
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("[!.mr]*/*"))] == times


def test_a_failing_encoder_stops_the_run(videos, tmp_path):
    def moments(frames):
        raise MemoryError

    with pytest.raises(MemoryError):
        run(videos, tmp_path, encoders=Encoders("test", moments=moments))
    assert not list(tmp_path.glob("*.arrayrecord*"))


@pytest.mark.slow
def test_same_bytes_with_any_number_of_workers(tmp_path):
    for workers in (1, 2):
        prepare("synthetic:3:40", tmp_path / str(workers), SYNTHETIC, workers=workers)
    assert snapshot(tmp_path / "1") == snapshot(tmp_path / "2")


def test_resumes_by_part(videos, tmp_path):
    run(videos, tmp_path / "whole")
    whole = snapshot(tmp_path / "whole")

    class Killed(BaseException):
        pass

    def kill(done, total):
        raise Killed

    out = tmp_path / "killed"
    with pytest.raises(Killed):
        run(videos, out, progress=kill)
    assert not (out / MANIFEST).exists()
    (out / "parts" / f".00001.arrayrecord.{'0' * 32}.tmp").write_bytes(b"half a part")
    first = (out / "parts" / "00000.arrayrecord").stat().st_mtime_ns
    run(videos, out)
    assert snapshot(out) == whole
    assert (out / "records-00000.arrayrecord").stat().st_mtime_ns == first


@pytest.mark.parametrize("lost", ["records-00000.arrayrecord", "parts/00000.json", "parts/00000.shard.json"])
def test_what_is_lost_is_made_again(videos, tmp_path, lost):
    run(videos, tmp_path)
    whole = snapshot(tmp_path)
    (tmp_path / lost).unlink()
    run(videos, tmp_path)
    assert snapshot(tmp_path) == whole


def test_a_new_video_is_added(videos, tmp_path):
    folder = tmp_path / "videos"
    write_video(folder / "a.mp4", [100] * 12)
    run(folder, tmp_path / "out")
    write_video(folder / "b.mp4", [100] * 12)
    run(folder, tmp_path / "out")
    assert len(ShardSource(tmp_path / "out")) == 4


def test_files_of_others_are_left_alone(videos, tmp_path):
    run(videos, tmp_path / "records-old")
    others = {"download.tmp", "parts/download.tmp", "records-00007.txt", "records-1", "below/records-00007.arrayrecord"}
    for name in others:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    before = snapshot(tmp_path)
    run(videos, tmp_path)
    assert before.items() <= snapshot(tmp_path).items()
    verify(tmp_path / "records-old")


def test_the_shards_of_inputs_that_are_gone_are_removed(videos, tmp_path):
    folder = write_videos(tmp_path / "videos", 3)
    run(folder, tmp_path / "out")
    (folder / "02.mp4").unlink()
    run(folder, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob("records-*")] == ["records-00000.arrayrecord"]


@pytest.mark.parametrize("killed", [False, True])
def test_a_part_may_come_out_differently_when_it_is_made_again(tmp_path, monkeypatch, killed):
    """Models on accelerators do not give the same numbers twice."""
    rng = np.random.default_rng(0)
    encoders = Encoders("test", moments=lambda frames: rng.random((len(frames), 4, 4, 3)))
    options = dataclasses.replace(OPTIONS, duplicates=DuplicateOptions(), inputs_per_shard=1)
    for frames in (5, 6):
        write_video(tmp_path / "videos" / f"{frames}.mp4", [100] * frames)

    def again():
        return prepare(tmp_path / "videos", tmp_path / "out", options, detector=MeshDetector(), encoders=encoders)

    assert [outcome.clips for outcome in again().outcomes] == [0, 1]
    (tmp_path / "videos" / "6.mp4").unlink()  # 5.mp4 duplicates none any more
    if killed:  # between the records and their note
        with monkeypatch.context() as patch, pytest.raises(InterruptedError):
            patch.setattr(Part, "write", Mock(side_effect=InterruptedError))
            again()
    assert [outcome.clips for outcome in again().outcomes] == [1]
    assert verify(tmp_path / "out").clips == 1


def test_a_folder_has_one_writer(videos, tmp_path):
    seen = []

    def second_run(done, total):
        with pytest.raises(ValueError, match="another process is writing"):
            run(videos, tmp_path)
        seen.append(done)

    run(videos, tmp_path, progress=second_run)
    assert seen
    run(videos, tmp_path)  # afterwards it is open


@pytest.mark.slow
def test_a_worker_that_dies_loses_nothing_but_what_kills_it(tmp_path):
    folder = write_videos(tmp_path / "videos", 5)
    (tmp_path / "once").mkdir()
    (tmp_path / "always").mkdir()
    prepare(folder, tmp_path / "whole", OPTIONS, detector=MeshDetector())
    once = DyingDetector(tmp_path / "once", grey=70, times=1)
    prepare(folder, tmp_path / "survived", OPTIONS, detector=once, workers=2)
    assert snapshot(tmp_path / "survived") == snapshot(tmp_path / "whole")
    always = DyingDetector(tmp_path / "always", grey=70)
    report = prepare(folder, tmp_path / "lost", OPTIONS, detector=always, workers=2)
    assert {outcome.input: outcome.reason for outcome in report.outcomes if outcome.reason} == {"02.mp4": "crash"}
    lost = snapshot(tmp_path / "lost")
    assert prepare(folder, tmp_path / "lost", OPTIONS, detector=always) == report  # and this process lives
    assert snapshot(tmp_path / "lost") == lost
    prepare(folder, tmp_path / "lost", OPTIONS, detector=MeshDetector(), workers=2)
    assert snapshot(tmp_path / "lost") == snapshot(tmp_path / "whole")


def test_another_jobs_folder_is_refused(videos, tmp_path):
    run(videos, tmp_path)
    with pytest.raises(RecordError, match="made with size 32: choose another folder"):
        prepare(videos, tmp_path, dataclasses.replace(OPTIONS, size=64), detector=MeshDetector())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "absent", "is no folder"),
        (lambda folder: folder, "no video in"),
        (lambda folder: write_video(folder / "a.mp4", [0] * 8) or folder, "none of the 1 inputs gave a clip"),
        (lambda folder: "synthetic:many", "synthetic:N or synthetic:N:SEED"),
    ],
)
def test_nothing_to_prepare(make, message, tmp_path):
    with pytest.raises(RecordError, match=message):
        run(make(tmp_path), tmp_path / "out")


def test_synthetic_heads_go_through_the_same_writer(tmp_path):
    progress = []
    prepare("synthetic:3:40", tmp_path, SYNTHETIC, progress=lambda *done: progress.append(done))
    assert progress == [(2, 3), (3, 3)]
    source, drawn = open_source(tmp_path), open_source("synthetic:3:40", num_frames=3, size=64)
    assert len(source) == len(drawn) == 3
    for stored, fresh in zip(source, drawn, strict=True):
        assert stored.info == fresh.info
        np.testing.assert_array_equal(stored.landmarks, fresh.landmarks)
        order = np.array([2, 0])
        assert np.abs(stored.frames[order].astype(int) - fresh.frames[order]).mean() < 3  # JPEG at quality 95
        np.testing.assert_array_equal(stored.pose, fresh.pose)
        assert fresh.labels is None
        assert stored.labels[order].shape == (2, 64, 64)
        middle = region_masks(sample_person(int(fresh.info.id.split("-")[1])), fresh.landmarks[1], 64)
        np.testing.assert_array_equal(stored.labels[np.array([1])][0], middle)
    assert verify(tmp_path) == Manifest.read(tmp_path)


def test_records_at_an_address(videos, tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("ADIFF_CACHE", str(tmp_path / "cache"))
    run(videos, tmp_path / "here")
    there = f"memory://{tmp_path.name}/there"
    for _ in range(2):  # the second run finds everything made
        run(videos, there)
    files = fsspec.filesystem("memory")
    root = f"/{tmp_path.name}/there"
    stored = {name.removeprefix(f"{root}/"): files.cat_file(name) for name in files.find(root)}
    assert stored == snapshot(tmp_path / "here")
    here, away = ShardSource(tmp_path / "here"), open_source(there)
    assert [clip.to_bytes() for clip in away] == [clip.to_bytes() for clip in here]
    assert verify(there) == here.manifest
    files.pipe_file(f"{root}/{here.manifest.shards[0].file}", b"damaged")
    with pytest.raises(RecordError, match="was changed or damaged"):
        verify(there)


def test_encoding_later_equals_encoding_at_once(videos, tmp_path):
    encoders = Encoders(
        "test",
        moments=lambda frames: frames[:, ::8, ::8].astype(np.float32) / 255,
        clip_image=lambda frames: frames.mean(axis=(1, 2)),
    )
    run(videos, tmp_path / "at once", encoders=encoders)
    run(videos, tmp_path / "plain")
    report = encode_records(tmp_path / "plain", tmp_path / "later", encoders)
    assert report.clips == 4
    at_once, later = ShardSource(tmp_path / "at once"), ShardSource(tmp_path / "later")
    assert [clip.to_bytes() for clip in later] == [clip.to_bytes() for clip in at_once]
    assert later[0].moments.shape == (6, 4, 4, 3)
    with pytest.raises(RecordError, match="made with encoders 'test'"):
        encode_records(tmp_path / "plain", tmp_path / "later", Encoders("other"))
