"""Parts: the clips of the inputs of one shard, before the whole collection is looked at.

A part is a file of records and a note beside it, in the folder `parts`. The note stays; the file becomes the shard.
"""

import dataclasses
import json
import logging
from collections.abc import Iterable, Iterator, Sequence

from adiff_jax.data.schema import ClipRecord
from adiff_jax.data.source import Shard
from adiff_jax.data.storage import Folder
from adiff_jax.prep.identities import pack
from adiff_jax.prep.inputs import Input
from adiff_jax.prep.outcome import Outcome, as_json
from adiff_jax.prep.stages import Encoders, encode
from adiff_jax.prep.writer import Written, write_shard

PARTS = "parts"
Attempt = tuple[Outcome, list[bytes]]

_log = logging.getLogger(__name__)


def part_file(index: int) -> str:
    """Name of a part's records."""
    return f"{PARTS}/{index:05d}.arrayrecord"


@dataclasses.dataclass(frozen=True)
class Part:
    """A finished part: what it was made of, and what came out.

    Attributes:
        made_of: name and fingerprint of each input.
        outcomes: one for each input.
        written: the file of records; None if there is none.
    """

    made_of: list[list[str]]
    outcomes: tuple[Outcome, ...]
    written: Written | None

    def write(self, out: Folder, index: int) -> None:
        """Writes the note."""
        out.write_text(_note(index), as_json(dataclasses.asdict(self)))

    @classmethod
    def read(cls, out: Folder, index: int, inputs: Sequence[Input]) -> "Part | None":
        """The part, if it is noted and was made of these inputs."""
        text = out.read_text(_note(index))
        if text is None:
            return None
        fields = json.loads(text)
        if fields["made_of"] != made_of(inputs):
            return None
        written = fields["written"]
        if written:
            written = Written(**written | {"shard": Shard(**written["shard"])})
        return cls(fields["made_of"], tuple(map(Outcome.from_dict, fields["outcomes"])), written)


def made_of(inputs: Sequence[Input]) -> list[list[str]]:
    """What identifies the inputs of a part."""
    return [[item.name, item.fingerprint] for item in inputs]


def attempt(item: Input) -> Attempt:
    """The clips of one input, serialised. One that fails gives none of its clips, and a reason."""
    try:
        outcome, records = item.make()
        return outcome, [record.to_bytes() for record in records]
    except Exception as error:  # One bad input in a million must not stop the run; the report has it.
        _log.exception("%s failed", item.name)
        return Outcome(item.name, "error", f"{type(error).__name__}: {error}"), []


def crashed(item: Input) -> Attempt:
    """What an input gives whose worker process died of it."""
    return Outcome(item.name, "crash", "the process that worked on it died, every time: look at this file"), []


def write_part(
    out: Folder, index: int, inputs: Sequence[Input], attempts: Iterable[Attempt], encoders: Encoders
) -> Part:
    """Encodes the clips of a part and writes it: records first, then the note that makes them count."""
    out.remove(_note(index))  # of records that were there before
    outcomes: list[Outcome] = []
    written = write_shard(out, part_file(index), _encoded(attempts, encoders, outcomes))
    part = Part(made_of(inputs), tuple(outcomes), written)
    part.write(out, index)
    return part


def _encoded(attempts: Iterable[Attempt], encoders: Encoders, outcomes: list[Outcome]) -> Iterator[ClipRecord]:
    """The encoded clips; notes the outcome of each input."""
    for outcome, records in attempts:
        facts = []
        for data, fact in zip(records, outcome.kept, strict=True):
            record = encode(ClipRecord.from_bytes(data), encoders)
            if record.face_embedding is not None:
                fact = dataclasses.replace(fact, face=pack(record.face_embedding))
            facts.append(fact)
            yield record
        outcomes.append(dataclasses.replace(outcome, kept=tuple(facts)))


def _note(index: int) -> str:
    return f"{PARTS}/{index:05d}.json"
