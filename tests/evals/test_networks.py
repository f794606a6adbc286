"""A network's file is the one that is meant, or the error says what to do."""

import hashlib
from pathlib import Path

import pytest

from adiff_jax.evals.networks import FOLDER_VARIABLE, NetworkError, NetworkFile, find_network

CONTENT = b"weights"


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NetworkFile:
    """Published in a folder, with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    published = tmp_path / "published.bin"
    published.write_bytes(CONTENT)
    return NetworkFile("a network", "network.bin", published.as_uri(), hashlib.sha256(CONTENT).hexdigest())


def test_downloaded_once(network: NetworkFile, tmp_path: Path) -> None:
    path = find_network(network)
    assert path.read_bytes() == CONTENT
    (tmp_path / "published.bin").unlink()
    assert find_network(network) == path
    assert [file.name for file in path.parent.iterdir()] == ["network.bin"]


def test_a_named_folder_comes_first(network: NetworkFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(NetworkError, match=r"network.bin is missing .a network.: download"):
        find_network(network, folder)
    (folder / "network.bin").write_bytes(CONTENT)
    assert find_network(network, folder) == folder / "network.bin"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    assert find_network(network) == folder / "network.bin"


def test_another_file_is_refused(network: NetworkFile, tmp_path: Path) -> None:
    (tmp_path / "network.bin").write_bytes(b"something else")
    with pytest.raises(NetworkError, match="is not a network: its SHA-256"):
        find_network(network, tmp_path)
    (tmp_path / "published.bin").write_bytes(b"something else")
    with pytest.raises(NetworkError, match="gave a file whose SHA-256"):
        find_network(network)
    assert not list((tmp_path / "cache" / "adiff_jax").iterdir()), "nothing is kept"


def test_offline_the_error_says_what_to_do(network: NetworkFile, tmp_path: Path) -> None:
    (tmp_path / "published.bin").unlink()
    with pytest.raises(NetworkError, match=f"download failed .* by hand into a folder and set {FOLDER_VARIABLE}"):
        find_network(network)
