"""Consistency: what is steady scores 0, drift and seams are seen apart, and intervals hold the mean."""

import numpy as np
import pytest

from adiff_jax.evals.consistency import CONSISTENCY_METRICS, consistency_scores, distance_to_anchor, flicker
from adiff_jax.evals.intervals import finite_mean, mean_interval
from adiff_jax.evals.plots import Line, save_lines
from adiff_jax.media.pictures import read_picture

FRAMES = 12


def turning(degrees: np.ndarray) -> np.ndarray:
    """Identities on a circle."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def grey(levels: np.ndarray) -> np.ndarray:
    return np.repeat(np.repeat(levels[:, None, None, None], 4, axis=1), 4, axis=2).repeat(3, axis=3).astype(np.uint8)


def scores(degrees: np.ndarray, levels: np.ndarray) -> dict[str, float]:
    everywhere = np.ones((FRAMES, 4, 4), bool)
    regions = {"hair": everywhere & False, "clothes": everywhere, "background": everywhere}
    steady = turning(np.zeros(FRAMES))
    return consistency_scores(grey(levels), grey(np.full(FRAMES, 50)), turning(degrees), steady, regions)


def test_a_steady_video_has_no_distances() -> None:
    steady = scores(np.zeros(FRAMES), np.full(FRAMES, 90))
    assert list(steady) == [metric.name for metric in CONSISTENCY_METRICS]
    assert all(value == pytest.approx(0, abs=1e-12) for value in steady.values())


def test_drift_by_hand() -> None:
    drift = scores(np.linspace(0, 60, FRAMES), np.arange(FRAMES) * 2)
    assert drift["identity ends"] == pytest.approx(1 - np.cos(np.radians(60)))
    assert drift["identity neighbours"] == pytest.approx(1 - np.cos(np.radians(60 / 11)))
    assert drift["colour ends"] == pytest.approx(22 * np.sqrt(3))
    assert drift["colour neighbours"] == pytest.approx(2 * np.sqrt(3))
    assert drift["flicker"] == pytest.approx(2)
    assert drift["saturation"] == 0


def test_drift_and_seams_are_told_apart() -> None:
    drift = scores(np.linspace(0, 60, FRAMES), np.linspace(0, 110, FRAMES))
    seams = scores(np.tile([0, 20], FRAMES // 2), np.tile([0, 40], FRAMES // 2))
    for name in ("identity", "colour"):
        assert drift[f"{name} ends"] > seams[f"{name} ends"]
        assert drift[f"{name} pairwise"] > seams[f"{name} pairwise"]
        assert drift[f"{name} neighbours"] < seams[f"{name} neighbours"]


def test_flicker_does_not_see_a_constant_error() -> None:
    clip = np.random.default_rng(0).integers(0, 200, (5, 4, 4, 3), dtype=np.uint8)
    assert flicker(clip, clip) == flicker(clip + np.uint8(50), clip) == 0
    assert flicker(np.roll(clip, 1, axis=0), clip) > 0


def test_distance_to_anchor_by_hand() -> None:
    distances = distance_to_anchor(turning(np.array([40.0, 20, 0, 60])), anchor=2)
    expected = [0, (1 - np.cos(np.radians(20)) + 0.5) / 2, 1 - np.cos(np.radians(40))]
    np.testing.assert_allclose(distances[:3], expected, atol=1e-12)
    assert np.isnan(distances[3])


def test_intervals_hold_the_mean_and_narrow_with_more() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.normal(3, 1, 10), rng.normal(3, 1, 1000)
    for values in (few, many):
        low, high = mean_interval(values)
        assert low < values.mean() < high
        # The normal interval is 2 x 1.96 deviations of the mean; of few values the bootstrap's is a little narrower.
        assert high - low == pytest.approx(3.92 * values.std(ddof=1) / len(values) ** 0.5, rel=0.2)
    assert mean_interval(few) == mean_interval(np.append(few, np.nan))
    assert np.isnan(mean_interval(few[:1])).all()
    assert finite_mean(np.array([1.0, np.nan, 3.0])) == 2
    assert np.isnan(finite_mean(np.array([np.nan])))


def test_lines_are_drawn(tmp_path) -> None:
    x = np.array([13.0, 25, 49])
    line = Line(x, x / 50, x / 60, x / 40)
    save_lines(tmp_path / "lines.png", {"a": {"ours": line, "theirs": Line(x, x)}, "b": {"ours": line}}, "frames")
    assert np.ptp(read_picture(tmp_path / "lines.png")) > 100
