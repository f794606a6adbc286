"""Who is seen: cosines by hand, and recognisers on people they have not seen."""

from pathlib import Path

import numpy as np
import pytest

from adiff_jax.app.inputs import load_driving
from adiff_jax.data.synthetic import render_clip
from adiff_jax.evals.identity import csim, drawn_recogniser, real_recogniser, self_csim, verification
from adiff_jax.media.landmarks import LandmarkDetector


def test_csim_by_hand() -> None:
    a = np.array([[1.0, 0], [0, 1], [0.6, 0.8]])
    b = np.array([[1.0, 0], [1, 0], [0.6, 0.8]])
    assert csim(a, b) == pytest.approx(2 / 3)
    assert self_csim(a, b) == pytest.approx(1 / 3)
    assert csim(a, b[:1]) == pytest.approx((1 + 0 + 0.6) / 3), "one reference for all frames"


def test_verification_of_people_far_apart_and_of_noise() -> None:
    rng = np.random.default_rng(0)
    apart = np.repeat(np.eye(8)[:, None], 3, axis=1) + rng.normal(0, 0.01, (8, 3, 8))
    assert verification(apart) == {"verification": 1.0, "equal error": 0.0, "rank one": 1.0}
    noise = rng.normal(size=(60, 3, 16))
    scores = verification(noise / np.linalg.norm(noise, axis=-1, keepdims=True))
    # 180 pairs of the same person: the share at any threshold is off by 4 % (one deviation) where nothing is known.
    assert scores["verification"] < 0.62
    assert 0.38 < scores["equal error"] < 0.62
    assert scores["rank one"] < 0.1


def test_verification_by_hand() -> None:
    angles = np.radians([[0, 10], [90, 60]])
    # Same: 10 and 30 degrees apart; different: 90, 60, 80, 50: all told apart by 40 degrees.
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    assert verification(embeddings)["verification"] == 1
    # Same: 10 and 50; different: 90, 40, 80, 30. At 15 degrees one of two and four of four are right.
    angles[1, 1] = np.radians(40)
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    assert verification(embeddings)["verification"] == pytest.approx((0.5 + 1) / 2)
    with pytest.raises(ValueError, match="too few"):
        verification(embeddings[:1])


def test_drawn_people_are_told_apart_whatever_they_do() -> None:
    recogniser = drawn_recogniser()
    seen = []
    for seed in range(600, 608):
        clip = render_clip(seed, num_frames=100, size=96, frames=[0, 50, 99])
        seen.append(recogniser(clip.frames, clip.landmarks))
    embeddings = np.stack(seen)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=-1), 1, rtol=1e-4)
    scores = verification(embeddings)
    assert scores["rank one"] == 1
    assert scores["verification"] > 0.98


def test_real_people_are_told_apart(shared: Path) -> None:
    recogniser, detector = real_recogniser(shared / "models"), LandmarkDetector()
    seen = []
    for name in ("d0", "d12"):
        driving = load_driving(shared / "data" / "clips" / f"{name}.mp4", 256, lambda: detector, None, 11)
        frames = np.stack(list(driving.frames()))[::10]
        seen.append(recogniser(frames, driving.points[::10]))
    assert verification(np.stack(seen)) == {"verification": 1.0, "equal error": 0.0, "rank one": 1.0}
