"""Personal bundles: how clips are cut, when training ends, what is compared."""

import dataclasses
import tempfile
from pathlib import Path

import ml_collections
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adiff_jax.app.cli import main
from adiff_jax.app.inputs import load_driving
from adiff_jax.app.personal import rounds
from adiff_jax.app.personal.comparison import Seen, nearest
from adiff_jax.app.personal.footage import borders, cut_footage
from adiff_jax.app.personal.options import PersonaliseOptions
from adiff_jax.app.personal.rounds import Course, Stopped, train_in_rounds
from adiff_jax.media.errors import MediaError
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.media.video import VideoWriter, read_video


def shades(path: Path) -> list[int]:
    with read_video(path) as video:
        return [int(frame.image.mean().round()) for frame in video]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 10, (32, 32)) as video:
        for shade in range(40):
            video.write(np.full((32, 32, 3), 6 * shade, np.uint8))
    return path


@given(st.integers(1, 10_000), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_the_parts_of_a_clip_are_the_clip(num_frames: int, held_out: float, test: float) -> None:
    first, second = borders(num_frames, held_out, test)
    assert 0 <= first <= second <= num_frames
    assert abs((num_frames - second) - test * num_frames) <= 0.5
    assert abs((second - first) - held_out * second) <= 0.5


def test_clips_are_cut_in_time_once(clip: Path, tmp_path: Path) -> None:
    footage = cut_footage([clip], tmp_path / "cut", 0.25, 0.2)
    assert footage.frames == (24, 8, 8)
    parts = [shades(path) for (path,) in (footage.training, footage.held_out, footage.test)]
    np.testing.assert_allclose(np.concatenate(parts), shades(clip), atol=2)  # encoded twice
    assert [path.name for path in footage.training[0].parent.iterdir()] == ["000-clip.mp4"]
    times = footage.test[0].stat().st_mtime_ns
    assert cut_footage([clip], tmp_path / "cut", 0.25, 0.2) == footage
    assert footage.test[0].stat().st_mtime_ns == times
    with pytest.raises(ValueError, match="made from other clips or shares"):
        cut_footage([clip], tmp_path / "cut", 0.2, 0.2)


@pytest.mark.parametrize(
    ("held_out", "test", "message"), [(0.1, 0.6, "at least 16"), (0.0, 0.2, "between"), (0.1, 1, "between")]
)
def test_shares_that_leave_too_little_are_refused(
    clip: Path, tmp_path: Path, held_out: float, test: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cut_footage([clip], tmp_path / "cut", held_out, test)


def test_no_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one video"):
        cut_footage([], tmp_path / "cut", 0.1, 0.2)


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(MediaError, match=r"text.mp4"):
        cut_footage([tmp_path / "text.mp4"], tmp_path / "cut", 0.1, 0.2)


class Loop:
    """Stands in for the training loop: writes the step into the component, and notes the calls."""

    def __init__(self, stops_at: int | None = None):
        self.calls: list[int] = []
        self.stops_at = stops_at

    def __call__(self, config: ml_collections.ConfigDict, workdir: Path) -> bool:
        self.calls.append(config.steps)
        if config.steps == self.stops_at:
            return False
        folder = workdir / "export" / "part"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights").write_text(str(config.steps))
        return True


def run(folder: Path, scores: dict[int, float], loop: Loop, monkeypatch: pytest.MonkeyPatch, **changes: object):
    monkeypatch.setattr(rounds, "train", loop)
    config = ml_collections.ConfigDict({"steps": 0, "init_from": ""})
    options = {"seconds": 1e9, "steps": 10, "patience": 2} | changes
    start = folder.parent / "start"
    return train_in_rounds(
        config, folder, "part", start, lambda path, step: scores[step], tell=lambda line: None, **options
    )


def test_the_best_round_is_kept_and_training_ends_without_gain(tmp_path: Path, monkeypatch) -> None:
    loop = Loop()
    scores = {0: 1.0, 10: 2.0, 20: 3.0, 30: 2.5, 40: 2.9, 50: 9.0}
    best, course = run(tmp_path / "run", scores, loop, monkeypatch)
    assert loop.calls == [10, 20, 30, 40]
    assert (best / "weights").read_text() == "20"
    assert course.best == 20 and course.rounds_without_gain == 2
    assert run(tmp_path / "run", scores, loop, monkeypatch)[0] == best
    assert loop.calls == [10, 20, 30, 40], "a finished training is not repeated"


def test_what_never_gets_better_stays_as_it_was(tmp_path: Path, monkeypatch) -> None:
    best, course = run(tmp_path / "run", {0: 5.0, 10: 2.0, 20: 3.0}, Loop(), monkeypatch)
    assert best == tmp_path / "start" and course.best == 0


def test_a_stopped_training_goes_on_where_it_was(tmp_path: Path, monkeypatch) -> None:
    scores = {0: 1.0, 10: 2.0, 20: 3.0, 30: 2.0, 40: 2.0}
    with pytest.raises(Stopped):
        run(tmp_path / "run", scores, Loop(stops_at=20), monkeypatch)
    loop = Loop()
    best, course = run(tmp_path / "run", scores, loop, monkeypatch)
    assert loop.calls == [20, 30, 40] and course.steps == (0, 10, 20, 30, 40)
    assert (best / "weights").read_text() == "20"


def test_time_ends_a_training(tmp_path: Path, monkeypatch) -> None:
    loop = Loop()
    scores = {0: 1.0, 10: 2.0, 20: 1.0, 30: 0.0}
    _, course = run(tmp_path / "run", scores, loop, monkeypatch, seconds=0)
    assert loop.calls == [] and course.steps == (0,)
    _, course = run(tmp_path / "run", scores, loop, monkeypatch)
    assert loop.calls == [10, 20, 30], "with more time it goes on"


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20))
def test_a_course_survives_its_file(scores: list[float]) -> None:
    course = Course(tuple(range(len(scores))), tuple(scores), 1.5)
    with tempfile.TemporaryDirectory() as folder:
        course.write(Path(folder) / "course.json")
        assert Course.read(Path(folder) / "course.json") == course
        assert Course.read(Path(folder) / "absent") == Course()
    assert course.scores[course.best] == max(scores)
    assert 0 <= course.rounds_without_gain < len(scores)


def test_the_nearest_frame_is_found() -> None:
    rng = np.random.default_rng(0)
    among = rng.standard_normal((9, 478, 3)).astype(np.float32)
    points = among[[4, 0, 8]] + rng.normal(0, 0.05, (3, 478, 3)).astype(np.float32)
    points[..., 2] += 100  # depth does not count
    np.testing.assert_array_equal(nearest(points, among), [4, 0, 8])


def test_frames_of_several_clips_are_read_by_their_numbers() -> None:
    seen = Seen([load_driving(f"synthetic:{seed}", 32, LandmarkDetector, max_frames=4) for seed in (1, 2)])
    every = seen.frames()
    assert every.shape == (8, 32, 32, 3)
    np.testing.assert_array_equal(seen.frames(np.array([6, 1, 6])), every[[6, 1, 6]])
    distances = np.linalg.norm((seen.points - seen.points.mean(axis=0))[..., :2], axis=-1).mean(axis=1)
    np.testing.assert_array_equal(seen.typical(), every[distances.argmin()])


@pytest.mark.parametrize("change", [{"every": 0}, {"patience": 0}, {"decoder_share": 1.5}])
def test_options_out_of_range_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        dataclasses.replace(PersonaliseOptions(), **change)


def test_consent_comes_first(clip: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("sys.stdin", None)
    assert main(["personalise", str(clip), "--out", str(tmp_path / "mine")]) == 2
    assert "i-have-consent" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists() and not (tmp_path / "mine.work").exists()
