"""Folders on this machine and at fsspec addresses (gs://, s3://) alike; files appear in them whole or not at all."""

import contextlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import filelock
import fsspec

LOCK = ".lock"
_ASIDE = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")


class Folder:
    """A folder of files. Small enough to be sent to worker processes.

    Args:
        address: a path, or an address with a scheme that fsspec knows.

    Raises:
        ValueError: fsspec does not know the scheme, or its package is not installed.
    """

    def __init__(self, address: str | os.PathLike):
        self.address = os.fspath(address).rstrip("/") or "/"
        self.is_local = "://" not in self.address
        if self.address.startswith("file://"):
            self.address, self.is_local = self.address.removeprefix("file://"), True
        if not self.is_local:
            try:
                self._remote()
            except (ImportError, ValueError) as error:
                raise ValueError(f"{self.address}: {error}") from error

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, name: str) -> "Folder":
        return Folder(f"{self.address}/{name}")

    def _remote(self) -> tuple[fsspec.AbstractFileSystem, str]:
        files, root = fsspec.core.url_to_fs(self.address)
        files.invalidate_cache()  # of listings: other processes write here too
        return files, root

    def _path(self, name: str) -> Path:
        return Path(self.address) / name

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        if self.is_local:
            return self._path(name).is_file()
        files, root = self._remote()
        return files.isfile(f"{root}/{name}")

    def names(self, below: bool = True) -> list[str]:
        """All files, as sorted paths relative to this folder; none if it does not exist.

        Args:
            below: also those in the folders below it.
        """
        if self.is_local:
            root = Path(self.address)
            paths = root.rglob("*") if below else root.glob("*")
            return sorted(path.relative_to(root).as_posix() for path in paths if path.is_file())
        files, root = self._remote()
        if not files.exists(root):
            return []
        prefix = root.rstrip("/") + "/"
        return sorted(name.removeprefix(prefix) for name in files.find(root, maxdepth=None if below else 1))

    def size(self, name: str) -> int:
        """Bytes of a file."""
        if self.is_local:
            return self._path(name).stat().st_size
        files, root = self._remote()
        return files.size(f"{root}/{name}")

    def read_text(self, name: str) -> str | None:
        """A text file, or None if there is none."""
        if not self.exists(name):
            return None
        if self.is_local:
            return self._path(name).read_text(encoding="utf-8")
        files, root = self._remote()
        return files.cat_file(f"{root}/{name}").decode()

    def write_text(self, name: str, text: str) -> None:
        """Writes a text file, whole or not at all."""
        with self.writing(name) as path:
            path.write_text(text, encoding="utf-8")

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Gives a local path to write to; what is there becomes the file on success, and is removed on any error."""
        aside = _aside(Path(name).name)
        if self.is_local:
            target = self._path(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            path = target.with_name(aside)
            try:
                yield path
                os.replace(path, target)
            finally:
                path.unlink(missing_ok=True)
            return
        files, root = self._remote()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / aside
            yield path
            files.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
            files.put_file(str(path), f"{root}/{name}")  # object stores show a file when its upload is complete

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Gives a local path of a file: itself, or a copy for as long as the context lasts.

        Raises:
            FileNotFoundError: there is no such file.
        """
        if self.is_local:
            yield self._path(name)
            return
        files, root = self._remote()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            files.get_file(f"{root}/{name}", str(path))
            yield path

    def copy_to(self, name: str, path: Path) -> None:
        """Copies a file to this machine, whole or not at all."""
        aside = path.with_name(_aside(path.name))
        with self.reading(name) as source:
            shutil.copyfile(source, aside)
        os.replace(aside, path)

    def move(self, name: str, other: str) -> None:
        """Renames a file; the new name may be taken."""
        if self.is_local:
            os.replace(self._path(name), self._path(other))
            return
        files, root = self._remote()
        files.mv(f"{root}/{name}", f"{root}/{other}")

    def remove(self, name: str) -> None:
        """Deletes a file, if it is there."""
        if self.is_local:
            self._path(name).unlink(missing_ok=True)
        elif self.exists(name):
            files, root = self._remote()
            files.rm_file(f"{root}/{name}")

    @contextlib.contextmanager
    def writer(self) -> Iterator["Folder"]:
        """This folder, with all other writers kept out until the context or the process ends, in whatever way.

        An address has no locks: nothing keeps two writers of one apart.

        Raises:
            ValueError: another process is in it.
        """
        if not self.is_local:
            yield self
            return
        lock = self._path(LOCK)
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            held = filelock.FileLock(lock).acquire(timeout=0)
        except filelock.Timeout:
            raise ValueError(f"{self}: another process is writing to this folder; wait for it, or stop it") from None
        with held:
            yield self

    def clean(self) -> None:
        """Removes what killed writers left in this folder; the folders below it are others'. An address has none."""
        if self.is_local:
            for name in filter(_ASIDE.fullmatch, self.names(below=False)):
                self.remove(name)


def _aside(name: str) -> str:
    """Where a file is written before it gets its name: another place each time, since two writers must not meet."""
    return f".{name}.{uuid.uuid4().hex}.tmp"


def split_address(address: str) -> tuple[Folder, str]:
    """A file's address as its folder and its name."""
    folder, _, name = address.rpartition("/")
    return Folder(folder or "."), name
