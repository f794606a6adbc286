"""The landmark track on real clips and pictures, gaps, and the search for the model file."""

import hashlib
import io
import logging
import urllib.error

import numpy as np
import pytest

from adiff_jax.media import landmarks as module
from adiff_jax.media.errors import MediaError, NoFaceError
from adiff_jax.media.landmarks import (
    BLENDSHAPES,
    MODEL_VARIABLE,
    FaceLandmarks,
    LandmarkDetector,
    fill_missing,
    landmark_model_path,
)
from adiff_jax.media.pictures import read_picture
from adiff_jax.media.video import Frame


@pytest.fixture(scope="module")
def detector(shared):
    return LandmarkDetector(shared / "models" / "face_landmarker.task")


def test_real_clip(track):
    assert track.found.all() and len(track) == 24
    assert track.points.shape == (24, 478, 3) and track.blendshapes.shape == (24, 52) and track.pose.shape == (24, 4, 4)
    assert track.points[..., :2].min() > 0 and track.points[..., :2].max() < 512
    assert (track.blendshapes >= 0).all() and (track.blendshapes <= 1).all()
    np.testing.assert_allclose(np.linalg.det(track.pose[:, :3, :3]), 1, atol=0.01)
    jaw = track.blendshapes[:, BLENDSHAPES.index("jawOpen")]
    lips = np.linalg.norm(track.points[:, 13] - track.points[:, 14], axis=-1)
    assert np.corrcoef(jaw, lips)[0, 1] > 0.7
    # The same names in the same order as MediaPipe's own.
    from mediapipe.tasks.python.vision.face_landmarker import Blendshapes

    assert [name.lower().lstrip("_") for name in BLENDSHAPES] == [b.name.replace("_", "").lower() for b in Blendshapes]


def test_video_and_picture_agree(detector, track, first_frame):
    alone = detector.picture(first_frame)
    np.testing.assert_allclose(alone.points[0], track.points[0], atol=0.5)


def test_the_largest_face_is_taken_and_said(detector, shared, caplog):
    image = read_picture(shared / "data" / "hard" / "several_faces.jpg")
    with caplog.at_level(logging.WARNING):
        largest = detector.picture(image)
    assert "2 faces found; taking the largest" in caplog.text
    faces = [detector.picture(image, face) for face in (1, 2)]
    assert faces[0].points[..., 0].mean() < faces[1].points[..., 0].mean()
    assert np.ptp(largest.points[0], axis=0)[:2].max() == max(np.ptp(f.points[0], axis=0)[:2].max() for f in faces)
    for face in (0, 3):
        with pytest.raises(NoFaceError, match="2 found"):
            detector.picture(image, face)


def test_the_chosen_face_is_followed(detector, first_frame):
    small = first_frame[::2, ::2]
    both = np.zeros((512, 1024, 3), np.uint8)
    both[:, :512] = first_frame
    both[128:384, 640:896] = small
    frames = [Frame(both, index / 25) for index in range(4)]
    large, right = detector.video(frames), detector.video(frames, face=2)
    assert large.found.all() and right.found.all()
    assert large.points[..., 0].max() < 512 < right.points[..., 0].min()


def test_no_face(detector, shared, rng):
    with pytest.raises(NoFaceError):
        detector.picture(read_picture(shared / "data" / "hard" / "cat.jpg"))
    noise = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(NoFaceError, match="any of the 3 frames"):
        detector.video([Frame(noise, index / 25) for index in range(3)])


def test_frames_without_the_face_are_flagged(detector, first_frame):
    blank = np.zeros_like(first_frame)
    shown = [blank, first_frame, first_frame, blank, blank, first_frame]
    track = detector.video([Frame(image, index / 25) for index, image in enumerate(shown)])
    assert track.found.tolist() == [False, True, True, False, False, True]
    assert not track.points[~track.found].any()


def made_track(rng, found):
    """A face that moves evenly to the right and turns evenly about the vertical."""
    count = len(found)
    times = np.arange(count) / 10
    angle = times
    pose = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    pose[:, 0, 0] = pose[:, 2, 2] = np.cos(angle)
    pose[:, 0, 2], pose[:, 2, 0] = np.sin(angle), -np.sin(angle)
    points = (rng.uniform(0, 9, (478, 3)) + times[:, None, None] * [50, 0, 0]).astype(np.float32)
    scores = np.tile(times[:, None] / 10, (1, 52)).astype(np.float32)
    full = FaceLandmarks(points, scores, pose, np.ones(count, bool), times)
    found = np.array(found, bool)
    return full, FaceLandmarks(
        points * found[:, None, None], scores * found[:, None], pose * found[:, None, None], found, times
    )


def test_gaps_are_filled_evenly(rng):
    full, holes = made_track(rng, [1, 1, 0, 0, 0, 1, 1, 0, 1])
    filled = fill_missing(holes)
    np.testing.assert_allclose(filled.points, full.points, atol=1e-4)
    np.testing.assert_allclose(filled.blendshapes, full.blendshapes, atol=1e-6)
    np.testing.assert_allclose(filled.pose, full.pose, atol=1e-6)
    np.testing.assert_array_equal(filled.found, holes.found)


def test_ends_are_held(rng):
    full, holes = made_track(rng, [0, 1, 1, 0, 0])
    filled = fill_missing(holes)
    np.testing.assert_allclose(filled.points, full.points[[1, 1, 2, 2, 2]], atol=1e-4)
    np.testing.assert_allclose(filled.pose, full.pose[[1, 1, 2, 2, 2]], atol=1e-6)


def test_a_complete_track_is_left_alone(rng):
    full, _ = made_track(rng, [1] * 4)
    assert fill_missing(full) is full


def test_long_gaps_are_an_error_that_says_where(rng):
    _, holes = made_track(rng, [1, 0, 0, 0, 0, 0, 0, 0, 1])
    with pytest.raises(NoFaceError, match=r"from 0\.10 s to 0\.70 s"):
        fill_missing(holes)
    assert fill_missing(holes, max_gap=0.7).points[4].any()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "adiff_jax" / "face_landmarker.task"


@pytest.fixture
def server(monkeypatch):
    """Serves a stand-in model whose hash is the pinned one; counts the downloads."""
    calls = []
    monkeypatch.setattr(module, "MODEL_SHA256", hashlib.sha256(b"the model").hexdigest())

    def urlopen(address, timeout):
        calls.append(address)
        return io.BytesIO(b"the model")

    monkeypatch.setattr(module.urllib.request, "urlopen", urlopen)
    return calls


def test_model_lookup_order(cache, server, tmp_path, monkeypatch):
    named, variable = tmp_path / "named.task", tmp_path / "variable.task"
    for path in (named, variable):
        path.write_bytes(b"any model")
    assert landmark_model_path() == cache  # downloaded
    assert landmark_model_path() == cache  # cached
    assert server == [module.MODEL_ADDRESS]
    monkeypatch.setenv(MODEL_VARIABLE, str(variable))
    assert landmark_model_path() == variable
    assert landmark_model_path(named) == named
    assert list(cache.parent.iterdir()) == [cache]


def test_named_models_must_exist(cache, tmp_path, monkeypatch):
    with pytest.raises(MediaError, match="no such face landmark model"):
        landmark_model_path(tmp_path / "none.task")
    monkeypatch.setenv(MODEL_VARIABLE, str(tmp_path / "none.task"))
    with pytest.raises(MediaError, match=MODEL_VARIABLE):
        landmark_model_path()


def test_a_damaged_cache_is_replaced(cache, server):
    cache.parent.mkdir(parents=True)
    cache.write_bytes(b"half a mod")
    assert landmark_model_path().read_bytes() == b"the model"


def test_a_wrong_download_is_refused(cache, server, monkeypatch):
    monkeypatch.setattr(module, "MODEL_SHA256", "0" * 64)
    with pytest.raises(MediaError, match="wrong SHA-256"):
        landmark_model_path()
    assert not cache.exists()


def test_offline_says_where_to_put_the_file(cache, monkeypatch):
    def urlopen(address, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(module.urllib.request, "urlopen", urlopen)
    with pytest.raises(MediaError) as raised:
        landmark_model_path()
    for part in (str(cache), module.MODEL_ADDRESS, MODEL_VARIABLE):
        assert part in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_model_is_refused(tmp_path, first_frame):
    (tmp_path / "text.task").write_text("not a model")
    with pytest.raises(MediaError, match="not a FaceLandmarker model"):
        LandmarkDetector(tmp_path / "text.task").picture(first_frame)


def test_a_missing_library_is_named_with_its_packages(tmp_path, first_frame, monkeypatch):
    from mediapipe.tasks.python import vision

    def fail(_):
        raise OSError("libEGL.so.1: cannot open shared object file")

    monkeypatch.setattr(vision.FaceLandmarker, "create_from_options", fail)
    (tmp_path / "model.task").touch()
    with pytest.raises(MediaError, match=r"cannot be loaded \(libEGL.so.1: .*\); .* apt-get install libegl1 libgles2"):
        LandmarkDetector(tmp_path / "model.task").picture(first_frame)
