"""Long videos: in chunks, with flat memory, interrupted and resumed, and added to."""

import dataclasses
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import tiny_bundle

from adiff_jax.app.cli import main
from adiff_jax.app.inputs import load_driving, synthetic_source
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline, GeneratedVideo
from adiff_jax.app.pipeline.store import LatentStore
from adiff_jax.app.pipeline.video import follow
from adiff_jax.media.audio import Sound
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.media.video import read_video

FRAMES = 12
STEPS = {"num_inference_steps": 2, "guidance_clip": 1.0, "guidance_landmarks": 1.0}
CHUNKS = {"group_batch": 2}  # of groups of 3: four frames, or three and a border


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> AnchoredDiffusionPipeline:
    return AnchoredDiffusionPipeline(tiny_bundle(tmp_path_factory.mktemp("tiny")))


def reenact(pipeline: AnchoredDiffusionPipeline, max_frames: int = FRAMES, **options: object) -> GeneratedVideo:
    options = STEPS | CHUNKS | {"pin_source": False} | options
    return pipeline.reenact("synthetic:7", "synthetic:1", max_frames=max_frames, **options)


def latents_of(video: GeneratedVideo) -> np.ndarray:
    return np.concatenate(list(video.latents))


@pytest.mark.parametrize("plan", ["contiguous", "strided"])
def test_chunks_of_any_size_give_the_same_video(pipeline: AnchoredDiffusionPipeline, plan: str) -> None:
    whole = latents_of(reenact(pipeline, plan=plan, group_batch=32))
    np.testing.assert_allclose(latents_of(reenact(pipeline, plan=plan)), whole, atol=1e-5)  # float32, other batches


def test_frames_come_as_chunks_finish(pipeline: AnchoredDiffusionPipeline) -> None:
    reports: list[tuple[int, int]] = []
    video = reenact(pipeline, plan="contiguous", progress=lambda *report: reports.append(report))
    frames = iter(video)
    next(frames)
    done, total = reports[-1]
    assert 0 < done < total, "the rest is not sampled yet"
    assert len([None for _ in frames]) == FRAMES - 1
    assert reports[-1] == (total, total)
    assert total == 2 * 3  # steps, chunks


def test_device_memory_does_not_grow_with_the_video(pipeline: AnchoredDiffusionPipeline) -> None:
    def peak(num_frames: int) -> int:
        most = 0
        video = reenact(pipeline, num_frames, plan="contiguous", group_batch=1)
        for _ in video.latents:
            most = max(most, sum(array.nbytes for array in jax.live_arrays()))
        return most

    peak(5)  # what is made once
    assert peak(25) <= 1.01 * peak(9)


@pytest.mark.parametrize("options", [{"plan": "shifted"}, {"method": "autoregressive"}], ids=str)
def test_an_interrupted_video_goes_on_where_it_was(
    pipeline: AnchoredDiffusionPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict
) -> None:
    expected = latents_of(reenact(pipeline, **options))
    save, saved = LatentStore.save, []

    def interrupted(store: LatentStore, index: int, *arrays: np.ndarray) -> None:
        if index == 2:
            raise KeyboardInterrupt
        save(store, index, *arrays)

    monkeypatch.setattr(LatentStore, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        latents_of(reenact(pipeline, workdir=tmp_path / "work", **options))
    monkeypatch.setattr(LatentStore, "save", lambda store, *rest: (saved.append(rest[0]), save(store, *rest)))
    resumed = latents_of(reenact(pipeline, workdir=tmp_path / "work", resume=True, **options))
    np.testing.assert_array_equal(resumed, expected)
    assert saved[0] == 2, "the first two chunks are not sampled again"
    saved.clear()
    np.testing.assert_array_equal(
        latents_of(reenact(pipeline, workdir=tmp_path / "work", resume=True, **options)), expected
    )
    assert saved == []
    latents_of(reenact(pipeline, workdir=tmp_path / "work", **options))
    assert saved[0] == 0, "without resume all is sampled anew"


def test_another_command_does_not_take_over(pipeline: AnchoredDiffusionPipeline, tmp_path: Path) -> None:
    work = {"workdir": tmp_path / "work", "plan": "contiguous"}
    latents_of(reenact(pipeline, **work))
    with pytest.raises(ValueError, match=r"begun with another seed; use the same again"):
        reenact(pipeline, resume=True, seed=5, **work)
    with pytest.raises(ValueError, match="another driver"):
        pipeline.reenact(
            "synthetic:7", "synthetic:2", max_frames=FRAMES, resume=True, pin_source=False, **STEPS | CHUNKS | work
        )
    with pytest.raises(ValueError, match="another pinned source"):
        reenact(pipeline, resume=True, pin_source=True, **work)
    picture = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="another pinned frame 5"):
        reenact(pipeline, resume=True, pinned={5: picture}, **work)
    latents_of(reenact(pipeline, pin_source=True, pinned={5: picture}, **work))
    with pytest.raises(ValueError, match="another pinned source, pinned frame 5"):
        reenact(pipeline, resume=True, **work)
    (tmp_path / "work/part-000000/settings.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        reenact(pipeline, resume=True, **work)


@pytest.mark.parametrize(("plan", "pin_source"), [("contiguous", False), ("shifted", False), ("shifted", True)])
def test_a_video_is_added_to(pipeline: AnchoredDiffusionPipeline, plan: str, pin_source: bool) -> None:
    video = reenact(pipeline, plan=plan, pin_source=pin_source)
    before = latents_of(video)
    longer = pipeline.extend(video, "synthetic:2", max_frames=5)
    assert len(longer) == FRAMES + 5 == len(list(longer.driving.frames())) == len(longer.driving.times)
    assert (np.diff(longer.driving.times) > 0).all()
    after = latents_of(longer)
    np.testing.assert_array_equal(after[:FRAMES], before)
    assert after.shape[0] == FRAMES + 5
    longest = pipeline.extend(longer, "synthetic:3", max_frames=2)
    np.testing.assert_array_equal(latents_of(longest)[: FRAMES + 5], after)


def test_a_part_of_one_frame_ends_the_line_together_with_the_part_before(pipeline: AnchoredDiffusionPipeline) -> None:
    longer = pipeline.extend(reenact(pipeline), "synthetic:2", max_frames=1)
    assert longer.latents.end_of_line(2) == [FRAMES - 1, FRAMES]
    anchor = longer.latents.anchor
    assert longer.latents.end_of_line(99) == [number for number in range(FRAMES + 1) if number != anchor]


def test_an_animation_keeps_the_shape_of_its_face_when_it_is_added_to(
    pipeline: AnchoredDiffusionPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    # That is the driver's own, not that of the picture.
    monkeypatch.setattr("adiff_jax.app.pipeline.core.load_source", lambda *_: synthetic_source(7, 32))
    video = pipeline.animate(np.zeros((32, 32, 3), np.uint8), "synthetic:1", max_frames=FRAMES, **STEPS)
    longer = pipeline.extend(video, "synthetic:1", max_frames=FRAMES)
    np.testing.assert_allclose(longer.landmarks[FRAMES:], video.landmarks, atol=1e-5)  # float32


def filled(folder: Path) -> LatentStore:
    store = LatentStore(folder, {"seed": "1"})
    store.save(0, np.arange(3, dtype=np.int32), np.zeros((3, 2, 2, 4), np.float32), np.ones(5, np.float32))
    return store


@pytest.mark.parametrize("name", ["state.safetensors", "chunk-00000.safetensors"])
@pytest.mark.parametrize("length", [0, 9, -1])
def test_damaged_latents_are_named(tmp_path: Path, name: str, length: int) -> None:
    path = filled(tmp_path / "part").folder / name
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="part is damaged; remove it"):
        LatentStore(tmp_path / "part", {"seed": "1"}, resume=True).load(0)


def test_what_a_kill_leaves_does_not_stand_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "write_text", killed)
        filled(tmp_path / "part")
    store = filled(tmp_path / "part")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.rmtree", lambda _, ignore_errors=False: ignore_errors or killed())
        store.remove()
    assert filled(tmp_path / "part").finished == 1
    filled(tmp_path / "part").remove()
    assert not list(tmp_path.iterdir())


def test_each_driver_is_heard_while_it_is_followed() -> None:
    drivers = [load_driving(f"synthetic:{seed}", 32, LandmarkDetector, max_frames=FRAMES) for seed in (1, 2, 3)]
    first, second, third = (
        dataclasses.replace(driver, audio=(Sound(Path(f"{index}.mp4")),)) for index, driver in enumerate(drivers)
    )
    whole = follow(follow(first, second), third)
    begins = [Fraction(float(whole.times[index * FRAMES])) for index in range(3)]
    assert [sound.path.stem for sound in whole.audio] == ["0", "1", "2"]
    assert [sound.begin for sound in whole.audio] == begins
    assert [sound.end for sound in whole.audio] == [*begins[1:], None]


def test_what_cannot_be_added_to_is_refused(pipeline: AnchoredDiffusionPipeline) -> None:
    with pytest.raises(ValueError, match="needs the method anchored"):
        pipeline.extend(reenact(pipeline, method="multidiffusion"), "synthetic:2", max_frames=5)


def test_a_pinned_source_ties_the_video_to_its_pixels(pipeline: AnchoredDiffusionPipeline) -> None:
    base, pinned = latents_of(reenact(pipeline)), latents_of(reenact(pipeline, pin_source=True))
    assert pinned.shape == base.shape
    assert (np.abs(base - pinned).max((1, 2, 3)) > 1e-4).all(), "every frame sees the picture"
    with pytest.raises(ValueError, match=r"needs the method anchored .* pin_source=False"):
        reenact(pipeline, pin_source=True, method="independent")
    with pytest.raises(ValueError, match=r"the source's picture is: choose that by pin_source=False"):
        reenact(pipeline, pin_source=True, anchor_frame=3)


@pytest.mark.parametrize("method", ["anchored", "multidiffusion", "autoregressive"])
def test_pinned_frames_come_out_as_they_are(pipeline: AnchoredDiffusionPipeline, method: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    latents = latents_of(reenact(pipeline, pinned={5: picture}, method=method))
    np.testing.assert_allclose(latents[5], np.asarray(pipeline.encode(picture[None]))[0], atol=1e-5)
    with pytest.raises(ValueError, match="pinned frame 12 is outside the video: choose 0 to 11"):
        reenact(pipeline, pinned={FRAMES: picture}, method=method)


@pytest.mark.parametrize("anchor_frame", [0, FRAMES - 1])
def test_any_frame_may_be_the_anchor(pipeline: AnchoredDiffusionPipeline, anchor_frame: int) -> None:
    assert latents_of(reenact(pipeline, anchor_frame=anchor_frame)).shape[0] == FRAMES
    with pytest.raises(ValueError, match="outside the video: choose 0 to 11"):
        reenact(pipeline, anchor_frame=FRAMES)


KILLED = """
import os, signal, sys
from adiff_jax.app.cli import main
from adiff_jax.app.pipeline.store import LatentStore
save = LatentStore.save
def killing(store, index, *arrays):
    save(store, index, *arrays)
    if index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
LatentStore.save = killing
main(sys.argv[1:])
"""
WHOLE = "import sys; from adiff_jax.app.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.slow
def test_a_killed_command_is_resumed_to_the_same_file(
    pipeline: AnchoredDiffusionPipeline, root: Path, tmp_path: Path
) -> None:
    pipeline.save_pretrained(tmp_path / "tiny")
    options = ["--steps", "2", "--max-frames", str(FRAMES), "--group-batch", "2", "--bundle", str(tmp_path / "tiny")]

    def start(program: str, name: str, *more: str) -> subprocess.Popen:
        (tmp_path / name).mkdir(exist_ok=True)
        argv = ["demo", *options, "--keep-latents", "--out", str(tmp_path / name / "out.mp4"), *more]
        environ = os.environ | {"PYTHONPATH": str(root)}
        return subprocess.Popen([sys.executable, "-c", program, *argv], env=environ, stderr=subprocess.PIPE, text=True)

    def latents(name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / name).rglob("chunk-*")}

    def ends(process: subprocess.Popen, code: int) -> None:
        _, errors = process.communicate()
        assert process.returncode == code, errors

    killed, whole = start(KILLED, "killed"), start(WHOLE, "whole")
    ends(killed, -signal.SIGKILL)
    assert not (tmp_path / "killed/out.mp4").exists()
    assert len(latents("killed")) == 2
    ends(start(WHOLE, "killed", "--resume"), 0)
    ends(whole, 0)
    assert latents("killed") == latents("whole")
    with read_video(tmp_path / "killed/out.mp4") as ours, read_video(tmp_path / "whole/out.mp4") as expected:
        pairs = list(zip(ours, expected, strict=True))
    assert len(pairs) == FRAMES
    for frame, other in pairs:
        np.testing.assert_array_equal(frame.image, other.image)


def test_a_finished_video_leaves_no_latents_unless_told_to(pipeline: AnchoredDiffusionPipeline, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "tiny")
    argv = ["demo", "--steps", "1", "--max-frames", "3", "--bundle", str(tmp_path / "tiny")]
    assert main([*argv, "--out", str(tmp_path / "out.mp4")]) == 0
    assert not (tmp_path / "out.latents").exists()
    assert main([*argv, "--out", str(tmp_path / "kept.mp4"), "--keep-latents"]) == 0
    assert (tmp_path / "kept.latents").is_dir()
