"""The whole way with a tiny random bundle: inputs to landmarks to latents to frames to files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_bundle

from adiff_jax.app.cli import main
from adiff_jax.app.inputs import SYNTHETIC_FPS, load_driving, load_source, synthetic_source
from adiff_jax.app.pipeline import DECODE_BATCH, AnchoredDiffusionPipeline
from adiff_jax.data.transforms import to_uint8
from adiff_jax.evals.landmarks import eye_distance
from adiff_jax.media.errors import MediaError, NoFaceError
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.media.video import VideoWriter, read_video


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> AnchoredDiffusionPipeline:
    return AnchoredDiffusionPipeline(tiny_bundle(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def bundle_path(pipeline: AnchoredDiffusionPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "tiny"
    pipeline.bundle.save(path)
    return path


@pytest.fixture(scope="module")
def detector(shared: Path) -> LandmarkDetector:
    return LandmarkDetector(shared / "models/face_landmarker.task")


def no_detector() -> LandmarkDetector:
    raise AssertionError("a synthetic input needs no landmark detector")


def test_frames_are_lazy_complete_and_the_same_at_every_pass(pipeline: AnchoredDiffusionPipeline) -> None:
    count = DECODE_BATCH + 3
    video = pipeline.reenact("synthetic:7", "synthetic:1", num_inference_steps=2, max_frames=count)
    assert not any(Path(video.latents._scratch.name).iterdir()), "nothing is sampled before a frame is asked for"
    frames = np.stack(list(video))
    assert frames.shape == (count, 32, 32, 3)
    assert frames.dtype == np.uint8
    assert len(video) == count
    np.testing.assert_array_equal(np.stack(list(video)), frames)


def test_seed_and_options_matter_and_nothing_else(pipeline: AnchoredDiffusionPipeline) -> None:
    def run(**options: object) -> np.ndarray:
        options = {"num_inference_steps": 3, "max_frames": 7, "pin_source": False} | options
        video = pipeline.reenact("synthetic:7", "synthetic:1", **options)
        return np.concatenate([np.asarray(part) for part in video.latents])

    base = run()
    np.testing.assert_array_equal(run(), base)
    for option in (
        {"seed": 1},
        {"eta": 0.0},
        {"pin_source": True},
        {"plan": "strided"},
        {"anchor": "mean"},
        {"guidance_clip": 2.0, "guidance_landmarks": 3.0},
    ):
        assert not np.array_equal(run(**option), base), option


def test_encode_and_decode_are_batched_without_a_trace(pipeline: AnchoredDiffusionPipeline) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (DECODE_BATCH + 2, 32, 32, 3), dtype=np.uint8)
    latents = pipeline.encode(frames)
    assert latents.shape == (DECODE_BATCH + 2, 4, 4, 4)
    np.testing.assert_allclose(latents[-1:], pipeline.encode(frames[-1:]), atol=1e-5)
    decoded = list(pipeline.decode(latents))
    assert len(decoded) == DECODE_BATCH + 2
    (alone,) = pipeline.decode(latents[3:4])
    assert np.abs(alone.astype(int) - decoded[3]).max() <= 1  # rounding to bytes


def test_embedding_has_length_one(pipeline: AnchoredDiffusionPipeline) -> None:
    picture = to_uint8(np.random.default_rng(0).uniform(-1, 1, (32, 32, 3)))
    np.testing.assert_allclose(np.linalg.norm(pipeline.embed(picture)), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eta": 2.0}, "eta must be within 0 and 1"),
        ({"max_frames": 0}, "max_frames must be at least 1"),
    ],
)
def test_bad_options_are_refused_at_the_call(pipeline: AnchoredDiffusionPipeline, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline.reenact("synthetic:7", "synthetic:1", **options)


@pytest.mark.parametrize("spec", ["synthetic:", "synthetic:x", "synthetic:-1"])
def test_a_malformed_synthetic_spec_is_explained(spec: str) -> None:
    with pytest.raises(MediaError, match="of the form synthetic:SEED"):
        load_source(spec, 32, no_detector)
    with pytest.raises(MediaError, match="of the form synthetic:SEED"):
        load_driving(spec, 32, no_detector)


def test_synthetic_inputs_bring_their_landmarks() -> None:
    source = load_source("synthetic:3", 32, no_detector)
    assert source.person == synthetic_source(3, 32).person
    assert source.picture.shape == (32, 32, 3)
    driving = load_driving("synthetic:3", 32, no_detector, max_frames=5)
    assert driving.points.shape == (5, 478, 3)
    assert driving.fps == SYNTHETIC_FPS
    assert len(list(driving.frames())) == 5
    assert np.abs(driving.points[..., :2]).max() < 1, "the face must lie inside the picture"


def test_a_still_driver_gives_the_source_at_rest(pipeline: AnchoredDiffusionPipeline) -> None:
    """Relative motion: the shape requested is the source's, not the driver's."""
    video = pipeline.reenact("synthetic:7", "synthetic:1", max_frames=4)
    neutral = video.source.neutral
    ratios = [
        np.linalg.norm(p[..., 61, :] - p[..., 291, :], axis=-1) / eye_distance(p)
        for p in (video.landmarks, neutral[None])
    ]
    assert video.landmarks.shape == (4, 478, 3)
    np.testing.assert_allclose(np.median(ratios[0]), ratios[1][0], rtol=0.2)


def test_a_real_driver_keeps_count_rate_times_and_sound(
    pipeline: AnchoredDiffusionPipeline, bundle_path: Path, shared: Path, tmp_path: Path
) -> None:
    clip = shared / "data/clips/d18.mp4"
    argv = ["reenact", "--source", "synthetic:7", "--driving", str(clip), "--out", str(tmp_path / "out.mp4")]
    assert main([*argv, "--bundle", str(bundle_path), "--steps", "1", "--max-frames", "6"]) == 0
    with read_video(clip) as driver, read_video(tmp_path / "out.mp4") as video:
        assert video.fps == driver.fps
        assert video.has_audio
        times = [frame.time for _, frame in zip(range(6), driver)]
        np.testing.assert_allclose([frame.time for frame in video], times, atol=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out.contact_sheet.png",
        "out.mp4",
        "out.side_by_side.mp4",
    ]


def test_a_picture_is_cropped_to_its_face(shared: Path, detector: LandmarkDetector) -> None:
    source = load_source(shared / "data/sources/mona_lisa.jpg", 64, lambda: detector)
    assert source.picture.shape == (64, 64, 3)
    assert 0.8 < np.ptp(source.neutral[:, 1]) < 1.5  # of the crop's height, which is 2
    assert source.person is None


def test_a_picture_without_a_face_is_refused(shared: Path, bundle_path: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(NoFaceError):
        load_source(np.zeros((64, 64, 3), np.uint8), 32, lambda: LandmarkDetector())
    source = shared / "data/hard/cat.jpg"
    argv = ["demo", "--source", str(source), "--bundle", str(bundle_path), "--out", str(tmp_path / "out.mp4")]
    assert main(argv) == 2
    assert "--i-have-consent" in capsys.readouterr().err
    assert main([*argv, "--i-have-consent"]) == 2
    assert "no face found" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def noise_frames(count: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(count))


def test_a_video_without_a_face_is_refused(bundle_path: Path, tmp_path: Path, capsys) -> None:
    with VideoWriter(tmp_path / "noise.mp4", 25, (64, 64)) as writer:
        for frame in noise_frames(5):
            writer.write(frame)
    argv = ["demo", "--driving", str(tmp_path / "noise.mp4"), "--bundle", str(bundle_path)]
    assert main([*argv, "--out", str(tmp_path / "out.mp4")]) == 2
    assert "no face found" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["noise.mp4"]


def test_the_demo_needs_nothing_but_the_bundle(bundle_path: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ADIFF_FACE_LANDMARKER", "absent.task")
    argv = ["demo", "--bundle", str(bundle_path), "--out", str(tmp_path / "demo.mp4"), "--steps", "1"]
    assert main([*argv, "--max-frames", "3"]) == 0
    with read_video(tmp_path / "demo.mp4") as video:
        assert len(list(video)) == 3
