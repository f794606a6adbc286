"""The table of a reenactment: a perfect video passes every criterion of the method, a shuffled one none on motion."""

import numpy as np
import pytest

from adiff_jax.evals.observation import Observation
from adiff_jax.evals.plots import save_curves
from adiff_jax.evals.reenactment import (
    COLOUR_METRICS,
    MOTION_METRICS,
    REGIONS,
    colour_scores,
    motion_scores,
    shuffled,
)
from adiff_jax.media.pictures import read_picture


def moving_head(num_frames: int = 60) -> Observation:
    """A head that turns, talks and makes faces."""
    rng = np.random.default_rng(0)
    points = np.repeat(rng.uniform(-0.5, 0.5, (1, 478, 3)), num_frames, axis=0)
    points[:, 14, 1] = points[:, 13, 1] + rng.uniform(0, 0.1, num_frames)
    points += rng.uniform(-0.2, 0.2, (num_frames, 1, 3))
    yaw = np.radians(rng.uniform(-30, 30, num_frames))
    pose = np.repeat(np.eye(4)[None], num_frames, axis=0)
    pose[:, 0, 0] = pose[:, 2, 2] = np.cos(yaw)
    pose[:, 0, 2], pose[:, 2, 0] = np.sin(yaw), -np.sin(yaw)
    return Observation(
        points.astype(np.float32),
        rng.uniform(0, 0.5, (num_frames, 52)).astype(np.float32),
        pose.astype(np.float32),
        np.ones(num_frames, bool),
    )


def passes(scores: dict[str, float]) -> dict[str, bool]:
    return {
        "landmark error": scores["landmark error"] <= 0.08,
        "mouth correlation": scores["mouth correlation"] >= 0.7,
        "AED": scores["AED"] <= 0.07,
        "AED motion": scores["AED motion"] <= 0.07,
        "APD": scores["APD"] <= 0.5 * scores["frozen APD"],
        "APD motion": scores["APD motion"] <= 0.5 * scores["frozen APD"],
    }


def test_scores_are_those_of_the_columns() -> None:
    head = moving_head()
    assert list(motion_scores(head, head.points, head)) == [metric.name for metric in MOTION_METRICS]


def test_perfect_passes_and_shuffled_fails_every_criterion() -> None:
    head = moving_head()
    assert all(passes(motion_scores(head, head.points, head)).values())
    floor = motion_scores(shuffled(head), head.points, head)
    assert not any(passes(floor).values())
    assert floor["face found"] == 1.0


def test_a_video_without_faces_passes_nothing() -> None:
    head = moving_head()
    blank = Observation(*(np.zeros_like(values) for values in (head.points, head.blendshapes, head.pose, head.found)))
    scores = motion_scores(blank, head.points, head)
    assert scores["face found"] == 0
    assert not any(passes(scores).values())


def test_colour_drift_by_hand() -> None:
    frames = np.zeros((2, 1, 3, 3), np.uint8)
    frames[1] = [[[12, 0, 0], [0, 0, 0], [30, 30, 30]]]
    regions = {name: np.repeat(np.eye(3, dtype=bool)[None, None, i], 2, axis=0) for i, name in enumerate(REGIONS)}
    people = {name: np.array([[0.0, 0, 0], [40.0, 40, 40]]) for name in REGIONS}
    scores = colour_scores(frames, regions, people)
    assert list(scores) == [metric.name for metric in COLOUR_METRICS]
    assert scores["hair drift"] == pytest.approx(6 / np.sqrt(3) / 20)
    assert scores["clothes drift"] == 0
    assert scores["background drift"] == pytest.approx(15 / 20)


def test_curves_are_drawn_with_gaps(tmp_path) -> None:
    curve = np.array([0.0, np.nan, 1.0])
    save_curves(tmp_path / "curves.png", {"mouth": {"a": curve, "b": 1 - curve}, "yaw": {"a": curve}}, 25.0)
    assert np.ptp(read_picture(tmp_path / "curves.png")) > 100
