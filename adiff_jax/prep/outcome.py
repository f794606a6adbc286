"""What became of the inputs: words to count by, and what later stages need to know of each clip."""

import collections
import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

# Stages in order, and the reasons for which each leaves something out.
STAGES: dict[str, tuple[str, ...]] = {
    "file": ("missing", "wrong extension", "unreadable", "truncated"),
    "face": ("no face", "several faces", "too short"),
    "track": ("small face", "turned away", "outside the picture", "still", "jumping"),
    "picture": ("blurred", "too dark", "too bright", "covered"),
    "collection": ("duplicate",),
    "run": ("error", "crash"),
}
REASONS = tuple(reason for reasons in STAGES.values() for reason in reasons)


class ClipRejected(ValueError):
    """An input, or a part of one, that gives no record.

    Attributes:
        reason: one of `REASONS`.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class Rejection:
    """A part of an input that was left out.

    Attributes:
        clip: id that the clip would have, or has.
        start, stop: seconds in the video.
        reason: one of `REASONS`.
        detail: what was measured, and what would have been enough.
        picture: its middle frame as JPEG in base64, small; empty if none was made.
    """

    clip: str
    start: float
    stop: float
    reason: str
    detail: str
    picture: str = ""


@dataclasses.dataclass(frozen=True)
class Fact:
    """What is known of a clip that was kept, small enough to hold those of a million clips in memory.

    Attributes:
        clip: id.
        frames, seconds: its length.
        identity: as its source says; empty if it does not.
        measures: see `prep.measures`.
        look: perceptual hash of the middle frame, 16 hexadecimal digits.
        motion: see `prep.duplicates.motion_signature`; base64.
        face: identity embedding, float16 in base64; empty if there is no encoder.
        picture: the middle frame as JPEG in base64, small; of a few clips only.
    """

    clip: str
    frames: int
    seconds: float
    identity: str = ""
    measures: Mapping[str, float] = dataclasses.field(default_factory=dict)
    look: str = ""
    motion: str = ""
    face: str = ""
    picture: str = ""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one input.

    Attributes:
        input: its name.
        reason: why it gave no clip, one of `REASONS`; empty if it gave one.
        detail: the reason at length.
        kept: the clips.
        rejected: the parts that were left out.
        notes: what was done about it: thinned, cut into shots.
    """

    input: str
    reason: str = ""
    detail: str = ""
    kept: tuple[Fact, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it gave no clip for a reason that may pass: a network, a disk or a memory can be better next time."""
        return self.reason in STAGES["run"]

    @property
    def clips(self) -> int:
        """Number of clips kept."""
        return len(self.kept)

    @property
    def frames(self) -> int:
        """Number of frames kept."""
        return sum(fact.frames for fact in self.kept)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Outcome":
        """Reads what `dataclasses.asdict` gave."""
        return cls(
            input=fields["input"],
            reason=fields["reason"],
            detail=fields["detail"],
            kept=tuple(Fact(**fact) for fact in fields["kept"]),
            rejected=tuple(Rejection(**part) for part in fields["rejected"]),
            notes=tuple(fields["notes"]),
        )


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of every input, in order."""

    outcomes: tuple[Outcome, ...]

    @property
    def clips(self) -> int:
        """Number of clips kept."""
        return sum(outcome.clips for outcome in self.outcomes)

    @property
    def reasons(self) -> dict[str, int]:
        """How many inputs gave no clip, by reason."""
        return _count(outcome.reason for outcome in self.outcomes if outcome.reason)

    @property
    def parts(self) -> dict[str, int]:
        """How many parts of inputs were left out, by reason."""
        return _count(part.reason for outcome in self.outcomes for part in outcome.rejected)

    def to_json(self) -> str:
        """Readable JSON: totals, then an entry for each input; without pictures and signatures."""
        totals = {
            "inputs": len(self.outcomes),
            "clips": self.clips,
            "frames": sum(outcome.frames for outcome in self.outcomes),
            "identities": len({fact.identity for outcome in self.outcomes for fact in outcome.kept}),
            "rejected": self.reasons,
            "rejected_parts": self.parts,
        }
        return as_json(totals | {"outcomes": [_brief(outcome) for outcome in self.outcomes]})


def _brief(outcome: Outcome) -> dict[str, Any]:
    kept = [
        {"clip": fact.clip, "frames": fact.frames, "identity": fact.identity, "measures": dict(fact.measures)}
        for fact in outcome.kept
    ]
    rejected = [{key: value for key, value in vars(part).items() if key != "picture"} for part in outcome.rejected]
    brief = {"input": outcome.input, "clips": outcome.clips, "frames": outcome.frames}
    brief |= {"reason": outcome.reason, "detail": outcome.detail, "notes": list(outcome.notes)}
    return brief | {"kept": kept, "rejected": rejected}


def _count(reasons: Iterable[str]) -> dict[str, int]:
    counts = collections.Counter(reasons)
    return {reason: counts[reason] for reason in REASONS if counts[reason]}


def as_json(value: Any) -> str:
    """Readable JSON, the same bytes for the same value."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
