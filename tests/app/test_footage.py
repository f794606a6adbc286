"""Sources that are whole pictures or videos: cropped, driven in part, put back. Landmarks are known, not detected."""

import itertools
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from adiff_jax.app import motion_options
from adiff_jax.app.following import follow_motion
from adiff_jax.app.inputs import Driving, load_driving, load_source, retime, save_motion, synthetic_source
from adiff_jax.app.motion_options import MotionOptions
from adiff_jax.app.sheets import draw_landmarks
from adiff_jax.data.synthetic import render_clip
from adiff_jax.media import transfer
from adiff_jax.media.audio import Sound
from adiff_jax.media.landmarks import FaceLandmarks, LandmarkDetector
from adiff_jax.media.video import Frame, VideoWriter, read_video

SIZE, WIDTH, HEIGHT = 64, 200, 150
PLACE = np.array([60, 40])  # of the clip in the whole picture
FRAMES = 12


class Known(LandmarkDetector):
    """Tells the true landmarks of a drawn clip, in place of finding them."""

    def __init__(self, points: np.ndarray):
        self.points = points

    def track(self, count: int, times: list[float]) -> FaceLandmarks:
        rng = np.random.default_rng(0)
        return FaceLandmarks(
            points=self.points[:count],
            blendshapes=rng.uniform(0, 0.5, (count, 52)).astype(np.float32),
            pose=np.tile(np.eye(4, dtype=np.float32), (count, 1, 1)),
            found=np.ones(count, bool),
            times=np.array(times),
        )

    def picture(self, image: np.ndarray, face: int | None = None) -> FaceLandmarks:
        return self.track(1, [0.0])

    def video(self, frames: Iterable[Frame], face: int | None = None) -> FaceLandmarks:
        times = [frame.time for frame in frames]
        return self.track(len(times), times)


@pytest.fixture(scope="module")
def clip():
    return render_clip(5, num_frames=FRAMES, size=SIZE, fps=25.0)


@pytest.fixture(scope="module")
def wholes(clip) -> np.ndarray:
    """The clip in the midst of something else."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 255, (5, 6, 3), dtype=np.uint8)
    background = np.asarray(Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    wholes = np.repeat(background[None], FRAMES, axis=0)
    wholes[:, PLACE[1] : PLACE[1] + SIZE, PLACE[0] : PLACE[0] + SIZE] = clip.frames
    return wholes


@pytest.fixture(scope="module")
def detector(clip) -> Callable[[], LandmarkDetector]:
    pixels = (clip.landmarks + 1) * (SIZE / 2)
    pixels[..., :2] += PLACE
    return lambda: Known(pixels.astype(np.float32))


@pytest.fixture(scope="module")
def video(wholes, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("source") / "talk.mp4"
    with VideoWriter(path, 25, (WIDTH, HEIGHT), crf=0) as writer:
        for whole in wholes:
            writer.write(whole)
    return path


@pytest.fixture(scope="module")
def driving() -> Driving:
    return load_driving("synthetic:9", SIZE, lambda: Known(np.zeros((1, 478, 3), np.float32)), max_frames=20)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_a_picture_is_a_video_without_end_or_motion(wholes, detector) -> None:
    source = load_source(wholes[0], SIZE, detector)
    assert not source.footage.is_video
    assert (source.footage.width, source.footage.height) == (WIDTH, HEIGHT)
    for whole, crop in itertools.islice(zip(source.footage.frames(), source.crops()), 3):
        np.testing.assert_array_equal(whole, wholes[0])
        np.testing.assert_array_equal(crop, source.picture)
    np.testing.assert_array_equal(source.neutral, source.footage.points[0])


def test_a_video_is_a_source_too(video, detector) -> None:
    source = load_source(video, SIZE, detector)
    assert source.footage.is_video
    assert len(list(source.crops())) == len(source.footage.points) == FRAMES
    assert source.footage.audio == (Sound(video),)
    crops = list(source.crops())
    assert any(np.array_equal(source.picture, crop) for crop in crops), "the person is one of the frames"
    assert len(load_source(video, SIZE, detector, max_frames=5).footage.points) == 5


def test_a_file_is_what_is_in_it(video, wholes, detector, tmp_path) -> None:
    (tmp_path / "picture.mp4").write_bytes(b"")
    Image.fromarray(wholes[0]).save(tmp_path / "picture.mp4", format="PNG")
    assert not load_source(tmp_path / "picture.mp4", SIZE, detector).footage.is_video


@pytest.mark.parametrize("region", ["all", "expression", "pose", "lips", "eyes"])
def test_pasting_the_true_crops_back_changes_nothing(video, detector, region) -> None:
    """Up to two filterings, since the source's crop box is no whole number of pixels."""
    source = load_source(video, SIZE, detector)
    canvas = follow_motion(
        source, load_driving(video, SIZE, detector), MotionOptions(region=region, paste_back=True)
    ).canvas
    pasted = list(canvas.paste(source.footage.crops(256)))
    assert len(pasted) == FRAMES
    for index, (before, after) in enumerate(zip(source.footage.frames(), pasted)):
        assert psnr(after, before) > 35
        np.testing.assert_array_equal(after[:20], before[:20], err_msg=f"frame {index}, above the crop")


def test_only_the_part_that_moves_is_painted(video, wholes, detector, driving) -> None:
    """Crops of noise show what each region replaces; each is smaller than the one before."""
    source = load_source(video, SIZE, detector)
    painted = []
    for region in ("all", "expression", "lips"):
        canvas = follow_motion(source, driving, MotionOptions(region=region, paste_back=True)).canvas
        whole = next(canvas.paste(iter([np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)])))
        painted.append((np.abs(whole.astype(int) - wholes[0]) > 30).any(axis=-1).sum())
    assert painted[0] > 1.5 * painted[1] > 3 * painted[2] > 0


def test_a_part_takes_the_colour_of_the_skin_around_it(video, detector) -> None:
    """True crops with all colours shifted: what is seen at the part's edge is as in the source, in every frame."""
    source, driver = load_source(video, SIZE, detector), load_driving(video, SIZE, detector)
    canvas = follow_motion(source, driver, MotionOptions(region="expression", paste_back=True)).canvas
    shift = np.array([25, -20, 10])
    shifted = (np.clip(crop.astype(int) + shift, 0, 255).astype(np.uint8) for crop in source.footage.crops(256))
    for before, after in zip(source.footage.frames(), canvas.paste(shifted)):
        changed = (before != after).any(axis=-1)
        assert np.abs((after[changed].astype(float) - before[changed]).mean(axis=0)).max() < 0.2 * np.abs(shift).max()


def test_footage_that_ends_early_is_an_error(video, detector, driving) -> None:
    source = load_source(video, SIZE, detector)
    canvas = follow_motion(source, driving, MotionOptions(paste_back=True)).canvas
    with pytest.raises(ValueError, match="ended after 12 of"):
        list(canvas.paste(iter([source.picture] * 13)))


def test_a_drawn_person_has_nothing_to_be_pasted_into(driving) -> None:
    with pytest.raises(ValueError, match="nothing to paste back into"):
        follow_motion(synthetic_source(3, SIZE), driving, MotionOptions(paste_back=True))


def test_a_video_keeps_its_own_clock(video, detector, driving) -> None:
    source = load_source(video, SIZE, detector)
    slow = Driving(**{**vars(driving), "times": 2 * driving.times, "fps": Fraction(25, 2)})
    following = follow_motion(source, slow, MotionOptions())
    np.testing.assert_allclose(following.driving.times, source.footage.times)
    assert following.driving.fps == source.footage.fps
    assert following.landmarks.shape == (FRAMES, 478, 3)
    np.testing.assert_allclose(following.driving.points[::2], driving.points[: FRAMES // 2], atol=1e-6)
    assert len(list(following.driving.frames())) == FRAMES


def test_the_shorter_of_the_two_sets_the_length(video, detector, driving) -> None:
    footage = load_source(video, SIZE, detector).footage
    short = Driving(**{**vars(driving), "points": driving.points[:5], "times": driving.times[:5]})
    assert len(retime(short, footage).points) == 5
    assert len(retime(driving, footage).points) == FRAMES


@pytest.mark.parametrize(
    ("region", "whose"), [("all", "driver"), ("lips", "driver"), ("pose", "source"), ("eyes", "source")]
)
def test_sound_is_that_of_whose_lips_are_seen(video, detector, driving, region, whose) -> None:
    loud = Driving(**{**vars(driving), "audio": (Sound(Path("driver.mp4")),)})
    following = follow_motion(load_source(video, SIZE, detector), loud, MotionOptions(region=region))
    assert following.driving.audio == (Sound({"driver": Path("driver.mp4"), "source": video}[whose]),)


def test_a_motion_file_drives_as_the_video_did(video, detector, tmp_path) -> None:
    driver = load_driving(video, SIZE, detector)
    save_motion(tmp_path / "a.safetensors", driver)
    shared = load_driving(tmp_path / "a.safetensors", SIZE, detector, max_frames=7)
    np.testing.assert_array_equal(shared.points, driver.points[:7])
    assert (shared.fps, shared.audio, shared.name) == (driver.fps, (), "a.safetensors")
    source = synthetic_source(3, SIZE)
    expected = follow_motion(source, load_driving(video, SIZE, detector), MotionOptions()).landmarks
    save_motion(tmp_path / "b.safetensors", driver)
    again = load_driving(tmp_path / "b.safetensors", SIZE, detector)
    np.testing.assert_array_equal(follow_motion(source, again, MotionOptions()).landmarks, expected)
    np.testing.assert_array_equal(next(shared.frames()), draw_landmarks(shared.points[0], SIZE))


def test_smoothing_is_on_unless_turned_off(video, clip) -> None:
    rng = np.random.default_rng(2)
    noisy = (clip.landmarks + 1) * 32 + rng.normal(0, 0.5, clip.landmarks.shape)
    shaking = [
        np.abs(
            np.diff(load_driving(video, SIZE, lambda: Known(noisy.astype(np.float32)), smooth=on).points, 2, 0)
        ).mean()
        for on in (True, False)
    ]
    assert shaking[0] < 0.6 * shaking[1]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("region", "nose", "unknown region 'nose': choose one of all, "),
        ("motion", "other", "unknown motion 'other': choose one of relative, absolute"),
        ("motion_strength", -1.0, "within 0 and 3"),
    ],
)
def test_bad_options(name, value, message) -> None:
    options = MotionOptions()
    object.__setattr__(options, name, value)  # past the type checks that tests make
    with pytest.raises(ValueError, match=message):
        options.__post_init__()


def test_the_video_stays_as_it_was(video, wholes) -> None:
    with read_video(video) as reader:
        assert [frame.image.shape for frame in reader] == [(HEIGHT, WIDTH, 3)] * FRAMES


def test_choices_are_those_of_the_transfer() -> None:
    assert get_args(motion_options.Region) == get_args(transfer.Region)
    assert get_args(motion_options.Start) == get_args(transfer.Start)
