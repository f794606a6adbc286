"""What the page asks of a worker, and what the worker says."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

Action = Literal["reenact", "animate", "edit"]

UNEXPECTED = "Something went wrong that should not; whoever runs this page finds it in the log."


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be made.

    Attributes:
        action: the method of the pipeline.
        source: picture, video or `synthetic:SEED`; None where a text describes the person.
        text: of the person, or of the change.
        driving: the video to follow; None for edits, which follow their source.
        out: the video to write.
        consent: the user said that the person in the source agreed.
        options: further arguments of the method.
    """

    action: Action
    source: str | None
    text: str | None
    driving: str | None
    out: Path
    consent: bool
    options: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Advance:
    """How far a job has come: what it does, how much of it is done, and perhaps some frames as they look now."""

    stage: str
    done: int
    total: int
    preview: UInt8[np.ndarray, "H W 3"] | None = None


@dataclasses.dataclass(frozen=True)
class Done:
    """The files of a finished job."""

    video: Path
    side_by_side: Path
    contact_sheet: Path


@dataclasses.dataclass(frozen=True)
class Failed:
    """A job that came to nothing: why, for the visitor, and a traceback if nobody foresaw it."""

    message: str
    detail: str = ""


Report = Advance | Done | Failed
