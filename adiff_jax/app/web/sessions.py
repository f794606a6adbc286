"""The files of visitors: where they lie, whose they are, and that they go when the visitor goes."""

import contextlib
import dataclasses
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PREFIX = "adiff-serve-"
UNCLAIMED = 15 * 60  # seconds for which an upload is kept that nobody claims
UNUSED = 6 * 60 * 60  # seconds for which a page is kept that nobody uses: its closing may never be heard of


@dataclasses.dataclass
class Session:
    """One open page.

    Attributes:
        folder: for what is made for it.
        uploads: files that it sent.
        job: set when its job is to be cancelled; None while it has no job.
        used: when it was last used, by `time.monotonic`.
    """

    folder: Path
    uploads: set[Path] = dataclasses.field(default_factory=set)
    job: threading.Event | None = None
    used: float = dataclasses.field(default_factory=time.monotonic)


class Sessions:
    """All open pages, and the folder that holds all their files; a context manager that removes it at the end.

    The folder's name has the number of the process: what a killed server left behind is removed by the next one.
    """

    def __init__(self, parent: str | os.PathLike | None = None):
        parent = Path(parent or tempfile.gettempdir())
        remove_abandoned(parent)
        self.root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
        self.uploads = self.root / "uploads"
        self.results = self.root / "results"
        self.examples = self.root / "examples"
        for folder in (self.uploads, self.results, self.examples):
            folder.mkdir()
        self._lock = threading.Lock()
        self._open: dict[str, Session] = {}

    def __enter__(self) -> "Sessions":
        return self

    def __exit__(self, *error) -> None:
        for name in list(self._open):
            self.close(name)
        shutil.rmtree(self.root, ignore_errors=True)

    def __getitem__(self, name: str) -> Session:
        """The session of this name, opened if it is not; the name comes from the browser and names no file."""
        with self._lock:
            if name not in self._open:
                self._open[name] = Session(Path(tempfile.mkdtemp(dir=self.results)))
            self._open[name].used = time.monotonic()
            return self._open[name]

    def __len__(self) -> int:
        return len(self._open)

    def file(self, payload: Mapping[str, Any] | None) -> str | None:
        """The file that the browser names in a widget's value: an upload or an example; None if there is no value.

        Raises:
            ValueError: it names any other file.
        """
        if not payload:
            return None
        path = Path(str(payload.get("path"))).resolve()
        if not path.is_file() or not any(path.is_relative_to(f.resolve()) for f in (self.uploads, self.examples)):
            raise ValueError("That file is not here any more; upload it again.")
        return str(path)

    def claim(self, name: str, path: str | os.PathLike | None) -> None:
        """Notes that a session sent a file; one outside of the upload folder is none."""
        if path is not None and (path := Path(path).resolve()).is_relative_to(self.uploads.resolve()):
            self[name].uploads.add(path)

    def close(self, name: str) -> None:
        """Cancels a session's job and removes its files, but not those that another session sent too."""
        with self._lock:
            session = self._open.pop(name, None)
            if session is None:
                return
            if session.job is not None:
                session.job.set()
            kept = set().union(*(other.uploads for other in self._open.values()))
        for path in session.uploads - kept:
            _remove_upload(path)
        shutil.rmtree(session.folder, ignore_errors=True)

    def sweep(self, age: float = UNCLAIMED) -> None:
        """Closes unused sessions, and removes uploads of aborted requests: `age` seconds old, and claimed by nobody."""
        for name in self._unused():
            self.close(name)
        with self._lock:
            claimed = set().union(*(session.uploads for session in self._open.values()))
        before = time.time() - age
        for path in _files(self.uploads):
            with contextlib.suppress(FileNotFoundError):
                if path.resolve() not in claimed and path.stat().st_mtime < before:
                    _remove_upload(path)

    def _unused(self) -> list[str]:
        """Sessions that were not used for long; one with a job is used."""
        now = time.monotonic()
        with self._lock:
            for session in self._open.values():
                if session.job is not None:
                    session.used = now
            return [name for name, session in self._open.items() if now - session.used > UNUSED]

    def stored(self) -> int:
        """Bytes of all files."""
        total = 0
        for path in _files(self.root):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total


def remove_abandoned(parent: Path) -> None:
    """Removes the folders of servers that run no more and could not remove them."""
    for folder in parent.glob(f"{PREFIX}*"):
        match = re.fullmatch(rf"{PREFIX}(\d+)-\w+", folder.name)
        if match and folder.is_dir() and folder.stat().st_uid == os.getuid() and not _runs(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _files(folder: Path) -> list[Path]:
    """All files in a folder and its folders, also while some of them go away."""
    return [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]


def _remove_upload(path: Path) -> None:
    """Removes an upload and the folder, named by its content, that Gradio put it in."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()
