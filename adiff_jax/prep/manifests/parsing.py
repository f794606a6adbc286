"""What the readers share: text in, numbers out, and errors that name the place."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adiff_jax.data.schema import RecordError


class ManifestError(RecordError):
    """Metadata that cannot be read; says where."""


@contextlib.contextmanager
def naming(place: str) -> Iterator[None]:
    """Turns what parsing raises into a `ManifestError` that names the place."""
    try:
        yield
    except ManifestError:
        raise
    except KeyError as error:
        raise ManifestError(f"{place}: there is no {error.args[0]!r}") from error
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise ManifestError(f"{place}: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object."""
    with naming(str(path)):
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(value, dict):
        raise ManifestError(f"{path}: a JSON object expected")
    return value


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a text file that are not empty, each with its place for error messages."""
    with naming(str(path)):
        text = path.read_text(encoding="utf-8-sig")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield f"{path}, line {number}", line.strip()


def first_line(path: Path) -> str:
    """The first line of a text file, for telling formats apart; empty if it has none."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.readline(4096).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def seconds(text: str) -> float:
    """`SS`, `MM:SS` or `HH:MM:SS`, with or without a fraction."""
    value = 0.0
    for part in text.split(":"):
        value = 60 * value + float(part)
    return value
