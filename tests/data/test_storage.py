"""Folders at addresses and on this machine: what is seen of others' files, and that they are left alone."""

import fsspec
import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from adiff_jax.data.storage import Folder


class ListedFileSystem(MemoryFileSystem):
    """Answers from the listings that it made before, as those of object stores do."""

    protocol = "listed"

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("listed:/"))

    def ls(self, path, detail=True, **kwargs):
        path = self._strip_protocol(path)
        if path not in self.dircache:
            self.dircache[path] = super().ls(path)
        return self.dircache[path] if detail else [entry["name"] for entry in self.dircache[path]]

    def info(self, path, **kwargs):
        listing = self._ls_from_cache(path := self._strip_protocol(path))
        return super().info(path) if listing is None else listing[0]

    exists, isfile = AbstractFileSystem.exists, AbstractFileSystem.isfile

    def invalidate_cache(self, path=None):
        self.dircache.clear()


def test_what_other_processes_write_and_remove_is_seen(tmp_path):
    fsspec.register_implementation("listed", ListedFileSystem, clobber=True)
    root = f"/{tmp_path.name}"
    here, there = fsspec.filesystem("listed"), fsspec.filesystem("memory")  # the same files, of two processes
    there.pipe({f"{root}/first": b"1"})
    folder = Folder(f"listed:/{root}")
    here.ls(root)
    there.pipe({f"{root}/second": b"22"})
    assert not here.exists(f"{root}/second")
    assert folder.exists("second")
    here.ls(root)
    there.rm_file(f"{root}/first")
    assert folder.read_text("first") is None
    here.ls(root)
    there.pipe({f"{root}/third": b"333"})
    assert folder.names() == ["second", "third"]


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
