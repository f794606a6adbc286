"""Fixtures shared by all tests, and settings under which they compile quickly."""

import functools
import os
from pathlib import Path

# Before JAX is imported, here or in a test's own process: the suite compiles thousands of small programs and runs each
# of them for a moment.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import flax.struct
import pytest
from jaxtyping import install_import_hook


def unchecked_constructor(dataclass, clz=None, **options):
    """`flax.struct.dataclass` whose fields may be anything: JAX rebuilds trees of shapes, shardings and sentinels."""
    if clz is None:
        return functools.partial(unchecked_constructor, dataclass, **options)
    tree = dataclass(clz, **options)
    tree.__no_type_check__ = True  # of the class alone; its methods are checked
    return tree


flax.struct.dataclass = functools.partial(unchecked_constructor, flax.struct.dataclass)

# Shapes and types of annotated calls are checked where arrays have one kind: not in the renderer, whose inner functions
# numba compiles, nor where arrays of NumPy and of JAX are equally welcome.
CHECKED = ["media", "diffusion", "sampling", "weights", "prep", "evals", "app"]
CHECKED += [f"data.{module}" for module in ("captions", "loader", "schema", "sequences", "source", "transforms")]
install_import_hook([f"adiff_jax.{package}" for package in CHECKED], "typecheck.check")

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: some tests wait for processes of their own."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first: processes take whole files, and the last one should be short."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


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


@pytest.fixture(scope="session")
def config_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests keep what belongs to a user, such as the key that signs."""
    return tmp_path_factory.mktemp("config")


@pytest.fixture(autouse=True)
def no_files_of_the_user(config_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps tests away from the files of who runs them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config_home))


@pytest.fixture(autouse=True)
def landmark_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets MediaPipe's landmark model be found where the real test data are."""
    path = Path(os.environ.get("ADIFF_TEST_DATA", ROOT.parent / "shared")) / "models" / "face_landmarker.task"
    if "ADIFF_FACE_LANDMARKER" not in os.environ and path.is_file():
        monkeypatch.setenv("ADIFF_FACE_LANDMARKER", str(path))
