"""A person's clips, each cut in time: most for training, a part to stop by, the end for the test."""

import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path

from adiff_jax.media.errors import MediaError
from adiff_jax.media.files import existing_file
from adiff_jax.media.video import VideoWriter, read_video

SHORTEST_TRAINING = 16  # frames
SHORTEST_HELD_OUT = 4
CRF = 6  # nothing to be seen of the encoding
PARTS = ("training", "held-out", "test")


@dataclasses.dataclass(frozen=True)
class Footage:
    """The parts of the clips, as video files, in the order of the clips.

    Attributes:
        training: what the models are trained on; all in one folder, with nothing else.
        held_out: what decides when to stop.
        test: what neither has seen.
        frames: numbers of frames of the three.
    """

    training: tuple[Path, ...]
    held_out: tuple[Path, ...]
    test: tuple[Path, ...]
    frames: tuple[int, int, int]


def cut_footage(clips: Sequence[Path], folder: Path, held_out: float, test: float) -> Footage:
    """Cuts the clips into a folder; one that has been cut already, in the same way, is left as it is.

    Args:
        clips: videos of one person.
        folder: where to; made if it is not there.
        held_out: share of the frames before the test part, its last ones.
        test: share of all frames of a clip, its last ones.

    Raises:
        MediaError: a clip cannot be read, or is too short.
        ValueError: there is no clip, a share is out of range, or the folder holds the parts of other clips.
    """
    if not clips:
        raise ValueError("give at least one video of the person")
    if not (0 < held_out < 1 and 0 < test < 1):
        raise ValueError(f"shares of held-out and test frames must be between 0 and 1, not {held_out} and {test}")
    job = {"clips": [[path.name, _digest(path)] for path in clips], "held_out": held_out, "test": test}
    note = folder / "footage.json"
    if note.is_file():
        made = json.loads(note.read_text(encoding="utf-8"))
        if made["job"] != job:
            raise ValueError(f"{folder} was made from other clips or shares: choose another --workdir or delete it")
        counts = made["frames"]
    else:
        counts = [_cut(path, index, folder, held_out, test) for index, path in enumerate(clips)]
        draft = note.with_suffix(".part")
        draft.write_text(json.dumps({"job": job, "frames": counts}, indent=1), encoding="utf-8")
        os.replace(draft, note)
    files = [tuple(_part(folder, part, index, path) for index, path in enumerate(clips)) for part in PARTS]
    return Footage(*files, frames=tuple(map(sum, zip(*counts))))


def borders(num_frames: int, held_out: float, test: float) -> tuple[int, int]:
    """Where the held-out part and where the test part of a clip begin.

    >>> borders(100, 0.1, 0.2)
    (72, 80)
    """
    end = num_frames - round(test * num_frames)
    return end - round(held_out * end), end


def _cut(path: Path, index: int, folder: Path, held_out: float, test: float) -> list[int]:
    with read_video(path) as video:
        count = sum(1 for _ in video)
    first, second = borders(count, held_out, test)
    lengths = [first, second - first, count - second]
    if lengths[0] < SHORTEST_TRAINING or min(lengths[1:]) < SHORTEST_HELD_OUT:
        raise MediaError(
            f"{path}: {count} frames give {lengths[0]} for training, {lengths[1]} held out and {lengths[2]} for the "
            f"test; at least {SHORTEST_TRAINING}, {SHORTEST_HELD_OUT} and {SHORTEST_HELD_OUT} are needed"
        )
    with read_video(path) as video:
        frames = iter(video)
        for part, length in zip(PARTS, lengths):
            target = _part(folder, part, index, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with VideoWriter(target, video.fps, (video.width, video.height), crf=CRF) as writer:
                for frame in itertools.islice(frames, length):
                    writer.write(frame.image, frame.time)
    return lengths


def _part(folder: Path, part: str, index: int, clip: Path) -> Path:
    return folder / part / f"{index:03d}-{clip.stem}.mp4"


def _digest(path: Path) -> str:
    with existing_file(path, "video").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
