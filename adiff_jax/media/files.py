"""Files that appear complete or not at all."""

import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator

from adiff_jax.media.errors import MediaError


@contextlib.contextmanager
def write_aside(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a hidden name beside `path` to write to; it becomes `path` on success and is removed on any error.

    The hidden name has the suffix of `path`.

    Raises:
        MediaError: `path` is a folder, or its folder does not exist.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise MediaError(f"{path} is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise MediaError(f"{path}: the folder {path.parent} does not exist; make it first")
    aside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def keep_inputs(inputs: Iterable[str | os.PathLike], outputs: Iterable[str | os.PathLike]) -> None:
    """Refuses outputs that would replace an input, by whatever name; call it before the work.

    Args:
        inputs: files that are read; what is no file, such as `synthetic:SEED`, is passed over.
        outputs: files that are to be written.

    Raises:
        MediaError: one of them is both.
    """
    read = [path for path in inputs if os.path.exists(path)]
    for output in outputs:
        if os.path.exists(output) and any(os.path.samefile(output, path) for path in read):
            raise MediaError(f"{output}: the result would replace an input; choose another name for it")


def existing_file(path: str | os.PathLike, kind: str, most_bytes: int | None = None) -> pathlib.Path:
    """`path`, if it is a file with something in it; `kind` ("video") says in the error what was expected.

    Raises:
        MediaError: `path` does not exist, is a folder, is empty, or is larger than `most_bytes`.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise MediaError(f"{path} is a folder; give the name of a {kind} in it")
    if not path.exists():
        raise MediaError(f"{path}: no such {kind}")
    if path.is_file() and path.stat().st_size == 0:
        raise MediaError(f"{path}: not a {kind}, the file is empty")
    if most_bytes is not None and path.stat().st_size > most_bytes:
        size = path.stat().st_size / 1e6
        raise MediaError(
            f"{path}: a {kind} of {size:.0f} MB, and {most_bytes / 1e6:.0f} MB is the most; make it smaller"
        )
    return path
