"""Consent of the person in a real picture: asked for once a source, remembered, and written into what is made of it."""

import dataclasses
import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from adiff_jax.app.userfiles import config_folder, write_private

How = Literal["confirmed at the terminal", "declared with --i-have-consent", "declared on the web page"]

QUESTION = (
    "{name} shows a real face. Do you have the consent of the person to animate it (or the right to, if that person "
    "is dead or never lived)? [y/N] "
)


class ConsentError(ValueError):
    """The consent of the person in a picture was not given."""


@dataclasses.dataclass(frozen=True)
class Consent:
    """That somebody said that the person agreed; whether it is true nobody can see from a file.

    Attributes:
        how: how it was said.
        time: when, ISO 8601 in UTC.
    """

    how: How
    time: str

    @classmethod
    def now(cls, how: How) -> "Consent":
        """Consent given at this moment."""
        return cls(how, datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))


def obtain_consent(sha256: str, name: str, declared: bool = False, ask: Callable[[str], str] | None = None) -> Consent:
    """The consent that is on record for a source; else the one declared, or asked for, which is put on record.

    Args:
        sha256: of the source.
        name: of the source, for the question.
        declared: the user said beforehand that there is consent.
        ask: puts a question and returns the answer; by default the terminal does, where there is one.

    Raises:
        ConsentError: the answer is no, or there is nobody to ask.
    """
    records = _read_records()
    if sha256 in records:
        return Consent(records[sha256]["how"], records[sha256]["time"])
    if declared:
        consent = Consent.now("declared with --i-have-consent")
    else:
        if ask is None and not (sys.stdin and sys.stdin.isatty()):
            raise ConsentError(
                f"{name} shows a real face, and nobody is at the terminal to be asked: "
                "add --i-have-consent if the person agreed, or use a drawn one (--source synthetic:7)"
            )
        try:
            answer = (ask or input)(QUESTION.format(name=name))
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            raise ConsentError(f"{name}: no consent, so nothing was made; a drawn person needs none (synthetic:7)")
        consent = Consent.now("confirmed at the terminal")
    records[sha256] = {"name": name, **dataclasses.asdict(consent)}
    try:
        write_private(_record_file(), json.dumps(records, indent=2).encode())
    except OSError as error:
        raise ConsentError(
            f"the consent cannot be recorded in {_record_file().parent} ({error.strerror}); "
            "set XDG_CONFIG_HOME to a folder of yours"
        ) from error
    return consent


def _record_file() -> Path:
    return config_folder() / "consent.json"


def _read_records() -> dict[str, dict[str, str]]:
    path = _record_file()
    if not path.exists():
        return {}
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        return {key: {part: str(record[part]) for part in ("name", "how", "time")} for key, record in records.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConsentError(f"{path} is damaged; remove it, and consent is asked for again") from error
