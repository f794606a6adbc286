"""What MediaPipe sees is in crop coordinates, whatever the picture's size; no face is an observation, not an error."""

from pathlib import Path

import numpy as np
import pytest

from adiff_jax.evals.observation import Observation, observe
from adiff_jax.media.crop import crop_image, crop_track, normalise
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.media.video import read_video


@pytest.fixture(scope="module")
def clip(shared: Path) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Eight frames of a real clip, the crop boxes and the normalised landmarks as the pipeline computes them."""
    with read_video(shared / "data/clips/d0.mp4") as video:
        frames = [frame for _, frame in zip(range(8), video)]
    track = LandmarkDetector(shared / "models/face_landmarker.task").video(frames)
    boxes = crop_track(track.points)
    return [frame.image for frame in frames], boxes, normalise(track.points, boxes)


@pytest.mark.parametrize("size", [128, 320])
def test_points_agree_with_those_of_the_whole_frame(shared: Path, clip, size: int) -> None:
    frames, boxes, points = clip
    crops = np.stack([crop_image(frame, box, size) for frame, box in zip(frames, boxes)])
    seen = observe(crops, 25.0, LandmarkDetector(shared / "models/face_landmarker.task"))
    assert seen.found.all()
    # MediaPipe itself differs by about 1 % of the crop between scales of one picture.
    assert np.abs(seen.points[..., :2] - points[..., :2]).mean() < 0.02
    assert np.corrcoef(seen.points[..., 2].ravel(), points[..., 2].ravel())[0, 1] > 0.98


def test_no_face_is_an_observation(shared: Path) -> None:
    seen = observe(np.zeros((3, 64, 64, 3), np.uint8), 25.0, LandmarkDetector(shared / "models/face_landmarker.task"))
    assert not seen.found.any()
    assert seen.points.shape == (3, 478, 3)


def test_indexing_picks_frames() -> None:
    seen = Observation(
        points=np.arange(3, dtype=np.float32)[:, None, None] * np.ones((1, 478, 3), np.float32),
        blendshapes=np.zeros((3, 52), np.float32),
        pose=np.zeros((3, 4, 4), np.float32),
        found=np.array([True, False, True]),
    )
    picked = seen[np.array([2, 1])]
    assert picked.points[:, 0, 0].tolist() == [2, 1]
    assert picked.found.tolist() == [True, False]
