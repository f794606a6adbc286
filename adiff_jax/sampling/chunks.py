"""Long videos in chunks of groups, one after the other or one a device: which frames, and what passes between them.

    chunk 0   anchor | l0 l1 l2  l3 l4 l5  l6 l7 l8 |                  the anchor's way is sampled and kept
    chunk 1   anchor |           border: l7 l8 | l9 ..                 the anchor and the border are told
    chunk 2   anchor |                                    l14 l15 | ..

In anchored sampling with `share="first"` the anchor depends on the first group alone, so later groups need of the
rest of the video only the anchor's latent at each step, which is kept: device memory does not grow with the video, and
frames can be added later. Groups that are fixed (`contiguous`, `strided`, `random`) are independent given the anchor,
so that chunks of any size give the same video.

With `shifted` groups, neighbours meet across the borders of groups, also across that of a chunk: the last S - 2 frames
of a chunk are told to the next one just as the anchor is, and sit in its groups. What happens after a chunk does not
reach back into it; that is the difference to sampling all at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.struct
import numpy as np
from jaxtyping import Bool, Int

from adiff_jax.sampling.groups import Dealing, Plan, deal, pack


@flax.struct.dataclass
class Chunk:
    """Groups that are denoised together, as a video of their own. Chunks of one video have equal shapes.

    Attributes:
        frames: numbers of the frames in the whole video. First the `K` that earlier chunks may tell: the anchor, if
            there is one, and the border. The last is repeated where frames are missing.
        plan: the groups, of indices into `frames`.
        told: which of the first `K` frames earlier chunks tell.
        keep: indices of the `K` frames whose way the next chunk is told.
        new: which frames this chunk gives to the video.
    """

    frames: Int[np.ndarray, " M"]
    plan: Plan
    told: Bool[np.ndarray, " K"]
    keep: Int[np.ndarray, " K"]
    new: Bool[np.ndarray, " M"]


def anchored_chunks(
    dealing: Dealing,
    line: Sequence[int] | Int[np.ndarray, " L"],
    anchor: int,
    group_size: int,
    group_batch: int,
    *,
    gives_anchor: bool = True,
    border: Sequence[int] | None = None,
    shards: int = 1,
    seed: int = 0,
) -> list[Chunk]:
    """The chunks of an anchored video.

    Chunks are as equal as can be. Of a video that fits one chunk, the groups are those of `anchored_plan`.

    Args:
        dealing: how frames are dealt into groups; see `anchored_plan`.
        line: numbers of the frames to make but for the anchor, in time order.
        anchor: number of the anchor.
        group_size: S, frames the denoiser takes at once.
        group_batch: most groups of a chunk; a few more where `shifted` chunks that are made side by side need them, so
            that each has a whole border of its own for the next.
        gives_anchor: whether the anchor is a frame of the video, and not one outside it, such as a photograph.
        border: for frames that are added to a finished video: the numbers of its last frames, S - 2 if there are as
            many; the first chunk is told them, and the anchor. None begins a video.
        shards: chunks that are made side by side; their number is a multiple of it where there are enough groups.
        seed: of the `random` dealing.

    Raises:
        ValueError: group_size is below 2, or group_batch below 1.
    """
    if group_size < 2:
        raise ValueError(f"group_size must be at least 2 (the anchor and another frame), not {group_size}")
    if group_batch < 1:
        raise ValueError(f"group_batch must be at least 1, not {group_batch}")
    line = np.asarray(line, np.int64)
    reach = group_size - 2 if dealing == "shifted" else 0
    begins = border is None
    before = [] if begins or not reach else list(border)[-reach:]
    line = np.concatenate([before, line]).astype(np.int64)
    if not len(line):
        return [_chunk([anchor], line, [[line]], 1, 0, _Head(1 + reach, 0 if begins else 1, gives_anchor and begins))]
    width = min(group_size - 1, len(line))
    num_groups = -(-len(line) // width)
    if reach:
        fit = len(line) <= group_batch * width
        num_chunks = 1 if fit else -(-(len(line) - reach) // (group_batch * width - reach))
        num_chunks = _rounded(num_chunks, shards, num_groups)
        if shards > 1:  # a device tells the next one only what it makes itself
            num_chunks = min(num_chunks, max(1, (len(line) - reach) // reach))
        parts = _overlapping(line, num_chunks, reach)
        per_chunk = max(-(-len(part) // width) for part in parts)
        turns = 1 if begins and num_groups == 1 else width
        dealt = [deal(dealing, part, min(per_chunk, len(part)), turns) for part in parts]
    else:
        dealt, per_chunk = _in_turn(deal(dealing, line, num_groups, seed=seed)[0], group_batch, shards)
    chunks = []
    for rounds in dealt:
        first = begins and not chunks
        told = 0 if first else 1 + (reach if chunks else len(before))
        head = _Head(1 + reach, told, gives_anchor and first)
        chunks.append(_chunk([anchor], np.unique(np.concatenate(rounds[0])), rounds, per_chunk, width, head))
    return chunks


def independent_chunks(num_frames: int, group_size: int, group_batch: int, shards: int = 1) -> list[Chunk]:
    """The chunks of a video of groups that share nothing; see `baselines.independent`."""
    size = min(group_size, num_frames)
    dealt, per_chunk = _in_turn(np.array_split(np.arange(num_frames), -(-num_frames // size)), group_batch, shards)
    return [_chunk([], np.concatenate(rounds[0]), rounds, per_chunk, size, _Head(0, 0, False)) for rounds in dealt]


def autoregressive_chunks(num_frames: int, group_size: int, overlap: int) -> list[Chunk]:
    """The chunks of a video of segments, each of which begins with the last frames of the one before.

    Args:
        num_frames: F.
        group_size: S, frames of a segment; the last may be shorter.
        overlap: frames that a segment has from the one before. These it is told as z_0, not as their way.

    Raises:
        ValueError: the overlap is not within 1 and `group_size` - 1.
    """
    if not 1 <= overlap < group_size:
        raise ValueError(f"overlap of segments must be within 1 and {group_size - 1}, not {overlap}")
    size = min(group_size, num_frames)
    overlap = min(overlap, size - 1)
    starts = range(0, max(1, num_frames - overlap), size - overlap)
    segments = [np.arange(start, min(start + size, num_frames)) for start in starts]
    heads = [_Head(overlap, overlap if index else 0, False) for index in range(len(segments))]
    return [_chunk([], segment, [[segment]], 1, size, head) for segment, head in zip(segments, heads, strict=True)]


class _Head(NamedTuple):
    """The first frames of a chunk: how many there may be told, how many are, and whether the anchor is given."""

    size: int
    told: int
    gives_anchor: bool


def _chunk(
    lead: list[int],
    part: Int[np.ndarray, " L"],
    rounds: list[list[Int[np.ndarray, "_"]]],
    num_groups: int,
    width: int,
    head: _Head,
) -> Chunk:
    """One chunk.

    Args:
        lead: the anchor, if there is one: it leads every group.
        part: numbers of the other frames, rising.
        rounds: their groups at each turn.
        num_groups: how many groups there shall be; the last is repeated.
        width: frames of a group but for the anchor.
        head: see there.
    """
    numbers = np.concatenate([lead, part]).astype(np.int32)
    padding = max(len(lead) + num_groups * width, head.size) - len(numbers)
    places = [[np.searchsorted(part, group) + len(lead) for group in groups] for groups in rounds]
    groups = np.stack([pack([*dealt, *[dealt[-1]] * (num_groups - len(dealt))], width) for dealt in places])
    groups = np.concatenate([np.zeros((*groups.shape[:2], len(lead)), groups.dtype), groups], axis=-1)
    slots = np.stack([np.unique(round_, return_index=True)[1] for round_ in groups])
    last = np.arange(max(0, len(part) - (head.size - len(lead))), len(part)) + len(lead)
    keep = np.concatenate([np.arange(len(lead)), last]).astype(np.int32)
    new = np.arange(len(numbers)) >= head.told
    new[: len(lead)] = head.gives_anchor
    return Chunk(
        frames=np.pad(numbers, (0, padding), mode="edge"),
        plan=Plan(groups.astype(np.int32), np.pad(slots, ((0, 0), (0, padding)), mode="edge").astype(np.int32)),
        told=np.arange(head.size) < head.told,
        keep=np.pad(keep, (0, head.size - len(keep)), mode="edge"),
        new=np.pad(new, (0, padding)),
    )


def _in_turn(
    groups: Sequence[Int[np.ndarray, "_"]], group_batch: int, shards: int
) -> tuple[list[list[list[Int[np.ndarray, "_"]]]], int]:
    """Groups that never change, some to each chunk, and how many at most."""
    per_chunk = -(-len(groups) // _rounded(-(-len(groups) // group_batch), shards, len(groups)))
    return [[list(groups[start : start + per_chunk])] for start in range(0, len(groups), per_chunk)], per_chunk


def _overlapping(line: Int[np.ndarray, " L"], num_parts: int, overlap: int) -> list[Int[np.ndarray, "_"]]:
    """Parts of the line of equal length, but for one, each beginning with the last `overlap` of the one before."""
    lengths = np.diff((len(line) + (num_parts - 1) * overlap) * np.arange(num_parts + 1) // num_parts)
    stops = np.cumsum(lengths - overlap) + overlap
    return [line[stop - length : stop] for stop, length in zip(stops, lengths, strict=True)]


def _rounded(num_chunks: int, shards: int, num_groups: int) -> int:
    """A multiple of `shards`, or one chunk for each group where there are too few."""
    return min(-(-num_chunks // shards) * shards, max(num_chunks, num_groups))
