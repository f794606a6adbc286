"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips, pictures and the landmark model: `data/` and `models/` in $ADIFF_TEST_DATA or beside the checkout."""
    path = Path(os.environ.get("ADIFF_TEST_DATA", ROOT.parent / "shared"))
    if not (path / "data").is_dir() or not (path / "models").is_dir():
        pytest.skip("no real test data: set ADIFF_TEST_DATA to a directory with data/ and models/")
    return path


@pytest.fixture(autouse=True)
def landmark_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets MediaPipe's landmark model be found where the real test data are."""
    path = Path(os.environ.get("ADIFF_TEST_DATA", ROOT.parent / "shared")) / "models" / "face_landmarker.task"
    if "ADIFF_FACE_LANDMARKER" not in os.environ and path.is_file():
        monkeypatch.setenv("ADIFF_FACE_LANDMARKER", str(path))
