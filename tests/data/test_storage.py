"""Folders at addresses and on this machine: what is seen of others' files, and that they are left alone."""

import pytest

from adiff_jax.data.storage import Folder


@pytest.mark.parametrize("address", ["", "memory://"])
def test_names_with_and_without_the_folders_below(tmp_path, address):
    folder = Folder(f"{address}{tmp_path}/folder")
    assert folder.names() == folder.names(below=False) == []
    for name in ("b", "a", "below/c"):
        folder.write_text(name, name)
    assert folder.names() == ["a", "b", "below/c"]
    assert folder.names(below=False) == ["a", "b"]


def test_only_what_killed_writers_left_is_removed(tmp_path):
    folder = Folder(tmp_path)
    others = [".hidden.tmp", f"below/.a.{'0' * 32}.tmp", "below/download.tmp", "download.tmp", "name"]
    for name in others:
        folder.write_text(name, name)
    with pytest.raises(FileNotFoundError), folder.writing("a") as path:
        path.write_text("half a file")
        folder.clean()
    assert folder.names() == others
