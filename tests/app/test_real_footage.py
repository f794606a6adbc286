"""Real pictures and clips as sources, the whole way with a tiny random bundle."""

from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_bundle

from adiff_jax.app.cli import main
from adiff_jax.app.inputs import load_source
from adiff_jax.app.manifest import read_manifest
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.media.pictures import read_picture
from adiff_jax.media.video import read_video

FEW = ["--steps", "1", "--max-frames", "3"]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> AnchoredDiffusionPipeline:
    bundle = tiny_bundle(tmp_path_factory.mktemp("tiny"))
    return AnchoredDiffusionPipeline(bundle, landmark_model=shared / "models/face_landmarker.task")


@pytest.fixture(scope="module")
def bundle_path(pipeline: AnchoredDiffusionPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "tiny"
    pipeline.bundle.save(path)
    return path


def frames_of(path: Path) -> np.ndarray:
    with read_video(path) as video:
        return np.stack([frame.image for frame in video])


@pytest.mark.slow
def test_a_picture_pasted_back_and_again_by_its_motion_file(shared: Path, bundle_path: Path, tmp_path: Path) -> None:
    source, motion = shared / "data/sources/einstein.jpg", tmp_path / "motion.safetensors"
    argv = ["reenact", "--source", str(source), "--bundle", str(bundle_path), "--paste-back", "--no-label", *FEW]
    first, again = tmp_path / "first.mp4", tmp_path / "again.mp4"
    saving = ["--driving", "synthetic:1", "--save-motion", str(motion), "--out", str(first)]
    assert main([*argv, *saving, "--i-have-consent"]) == 0
    assert main([*argv, "--driving", str(motion), "--out", str(again)]) == 0, "consent is asked for once a source"

    picture, frames = read_picture(source).astype(int), frames_of(first)
    height, width = picture.shape[:2]
    assert frames.shape[:3] == (3, height + height % 2, width + width % 2)
    same = np.abs(frames[0, :height, :width] - picture).max(axis=-1) < 40
    assert 0.5 < same.mean() < 0.95, "the background is the picture's, the head is not"
    np.testing.assert_array_equal(frames_of(again), frames)

    report = read_manifest(first)
    (person, driver) = report.record["inputs"]
    assert (report.status, report.generated) == ("unchanged", True)
    assert person["consent"]["how"] == "declared with --i-have-consent"
    assert "sha256" not in driver and "sha256" in read_manifest(again).record["inputs"][1]
    assert read_video(first.with_suffix(".side_by_side.mp4")).width == 4 * 32


def test_a_picture_is_animated_from_its_pixels(shared: Path, pipeline: AnchoredDiffusionPipeline) -> None:
    picture, options = shared / "data/sources/mona_lisa.jpg", {"num_inference_steps": 2, "max_frames": 4}
    pinned = pipeline.animate(picture, "synthetic:1", **options)
    loose = pipeline.animate(picture, "synthetic:1", pin_source=False, **options)
    np.testing.assert_array_equal(pinned.landmarks, pinned.driving.points)
    tied, free = (np.concatenate(list(video.latents)) for video in (pinned, loose))
    assert tied.shape == free.shape
    assert (np.abs(tied - free).max((1, 2, 3)) > 1e-4).all(), "every frame sees the picture"


def test_the_lips_of_a_clip_are_replaced_and_nothing_else(
    shared: Path, pipeline: AnchoredDiffusionPipeline, tmp_path: Path
) -> None:
    clip = shared / "data/clips/d18.mp4"
    options = {"num_inference_steps": 1, "max_frames": 4, "region": "lips", "paste_back": True}
    video = pipeline.reenact(clip, "synthetic:1", **options)
    with read_video(clip) as reader:
        wholes = [frame.image for frame, _ in zip(reader, range(4))]
    frames = list(video)
    assert len(frames) == 4
    for whole, frame, box in zip(wholes, frames, video.source.footage.boxes):
        changed = np.argwhere((whole != frame).any(axis=-1))
        assert 0 < len(changed) < 0.1 * whole.shape[0] * whole.shape[1]
        assert changed[:, 0].min() > box[1], "only in the lower half of the crop"


def test_a_chosen_face_is_cropped_and_driven(shared: Path) -> None:
    detector = LandmarkDetector(shared / "models/face_landmarker.task")
    image = shared / "data/hard/several_faces.jpg"
    boxes = [load_source(image, 32, lambda: detector, face=face).footage.boxes[0] for face in (1, 2)]
    assert boxes[0][0] + 0.3 * boxes[0][2] < boxes[1][0], "counted from the left"


def test_a_bad_name_is_refused_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["demo", "--bundle", "nowhere", "--out", str(tmp_path / "out.mp4")]
    assert main([*argv, "--save-motion", str(tmp_path / "a.mp4")]) == 2
    assert "ends in .safetensors" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [["--motion-strength", "7"], ["--eta", "2"], ["--region", "nose"]])
def test_bad_options_of_motion_and_of_sampling_are_refused(tmp_path: Path, option: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["demo", "--bundle", "nowhere", "--out", str(tmp_path / "out.mp4"), *option])
    assert exit_.value.code == 2
