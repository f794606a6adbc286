"""Random-access sources of clips: a folder of shards, or synthetic heads drawn when asked for."""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, SupportsIndex, runtime_checkable

import grain
import numpy as np
from jaxtyping import Float32, Int, UInt8

from adiff_jax.data.schema import VERSION, ClipInfo, ClipRecord, LabelMaps, RecordError, check_version
from adiff_jax.data.storage import Folder
from adiff_jax.data.synthetic.clips import clip_landmarks
from adiff_jax.data.synthetic.motion import Motion, sample_motion
from adiff_jax.data.synthetic.people import NUM_CAPTIONS, Person, sample_person
from adiff_jax.data.synthetic.render import region_masks, render_frame

MANIFEST = "manifest.json"
CACHE_VARIABLE = "ADIFF_CACHE"

_OPEN = 256  # shards of a process that are open at a time: files are few on many systems
_OPENERS = 16  # threads


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of records: its name in the folder, the number of clips and frames, and the file's SHA-256."""

    file: str
    clips: int
    frames: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The table of contents of a folder of records, `manifest.json`.

    Attributes:
        size: height and width of the pictures.
        shortest: frames of the shortest clip.
        shards: the files, in order.
        version: schema version of the records.
    """

    size: int
    shortest: int
    shards: tuple[Shard, ...]
    version: int = VERSION

    @property
    def clips(self) -> int:
        """Number of clips in all shards."""
        return sum(shard.clips for shard in self.shards)

    def to_json(self) -> str:
        """Readable JSON, the same bytes for the same manifest."""
        return json.dumps({"clips": self.clips, **dataclasses.asdict(self)}, indent=1, sort_keys=True) + "\n"

    @classmethod
    def read(cls, folder: Path | str) -> "Manifest":
        """Reads the manifest of a folder of records.

        Raises:
            RecordError: if there is none, it cannot be read, or its schema version is another.
        """
        text = Folder(folder).read_text(MANIFEST)
        path = f"{folder}/{MANIFEST}"
        if text is None:
            raise RecordError(f"no {MANIFEST} in {folder}: not a folder of records, or its preparation did not finish")
        try:
            fields = json.loads(text)
            version = fields["version"]
            shards = tuple(Shard(**shard) for shard in fields["shards"])
            manifest = cls(fields["size"], fields["shortest"], shards, version)
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{path} is damaged ({error}): prepare the data again") from error
        check_version(path, version)
        return manifest


@runtime_checkable
class ClipSource(Protocol):
    """What a loader reads from: clips by index, picklable for worker processes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: SupportsIndex) -> ClipRecord: ...


class ShardSource:
    """Clips of a folder of ArrayRecord shards, in the manifest's order.

    The folder may be an address (gs://, s3://): a shard is then copied to this machine, and checked, when the first of
    its clips is asked for, to `$ADIFF_CACHE` or the user's cache.
    """

    def __init__(self, folder: Path | str):
        """Opens a folder of records.

        Raises:
            RecordError: if the manifest is missing or damaged, lists no clip, or a shard is missing.
        """
        self.folder = Folder(folder)
        self.manifest = Manifest.read(folder)
        if not self.manifest.clips:
            raise RecordError(f"{folder} holds no clip: see its report.json")
        self._ends = np.cumsum([shard.clips for shard in self.manifest.shards])
        if self.folder.is_local:
            missing = [shard.file for shard in self.manifest.shards if not self.folder.exists(shard.file)]
            if missing:
                raise RecordError(f"{folder} lacks the shard {missing[0]} ({len(missing)} missing): prepare it again")
            with ThreadPoolExecutor(_OPENERS) as pool:
                held = sum(pool.map(lambda number: len(self._shard(number)), range(len(self.manifest.shards))))
            if held != len(self):
                raise RecordError(f"{folder} holds {held} clips, its manifest says {len(self)}: prepare it again")

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: SupportsIndex) -> ClipRecord:
        place = _checked(index, len(self))
        number = int(np.searchsorted(self._ends, place, side="right"))
        return ClipRecord.from_bytes(self._shard(number)[place - int(self._ends[number - 1] if number else 0)])

    def _shard(self, number: int) -> grain.sources.ArrayRecordDataSource:
        return _opened(self.folder, self.manifest.shards[number])

    def __repr__(self) -> str:
        return f"ShardSource({str(self.folder)!r})"


@functools.lru_cache(_OPEN)
def _opened(folder: Folder, shard: Shard) -> grain.sources.ArrayRecordDataSource:
    return grain.sources.ArrayRecordDataSource([str(_local_shard(folder, shard))])


def _local_shard(folder: Folder, shard: Shard) -> Path:
    """A shard's file on this machine."""
    if folder.is_local:
        return Path(folder.address) / shard.file
    cache = Path(os.environ.get(CACHE_VARIABLE) or Path("~/.cache/adiff_jax/records").expanduser())
    path = cache / f"{shard.sha256}.arrayrecord"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        try:
            folder.copy_to(shard.file, path)
        except FileNotFoundError as error:
            raise RecordError(f"{folder} lacks the shard {shard.file}: prepare it again") from error
        if sha256(path) != shard.sha256:
            path.unlink()
            raise RecordError(f"{folder}/{shard.file} was changed or damaged: its SHA-256 is not the manifest's")
    return path


def verify(folder: Path | str) -> Manifest:
    """Checks every shard of a folder of records against the manifest, and returns the manifest.

    Raises:
        RecordError: naming the first shard that is missing or whose SHA-256 differs.
    """
    manifest, files = Manifest.read(folder), Folder(folder)
    for shard in manifest.shards:
        if not files.exists(shard.file):
            raise RecordError(f"{folder}/{shard.file} is missing")
        with files.reading(shard.file) as path:
            if sha256(path) != shard.sha256:
                raise RecordError(f"{folder}/{shard.file} was changed or damaged: its SHA-256 is not the manifest's")
    return manifest


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclasses.dataclass(frozen=True)
class RenderedFrames:
    """Frames of a synthetic person, each drawn when asked for."""

    person: Person
    landmarks: Float32[np.ndarray, "F 478 3"]
    size: int

    def __len__(self) -> int:
        return len(self.landmarks)

    def __getitem__(self, indices: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n H W 3"]:
        return np.stack([render_frame(self.person, self.landmarks[index], self.size) for index in indices])


@dataclasses.dataclass(frozen=True)
class SyntheticSource:
    """Synthetic heads; clip i is the clip of seed `seed + i`, the same whenever it is asked for.

    Attributes:
        clips: number of clips.
        seed: seed of the first clip.
        num_frames: frames a clip.
        size: height and width in pixels.
        fps: frames a second.
        labels: whether clips have label maps, which takes as long again as drawing them.
    """

    clips: int
    seed: int = 0
    num_frames: int = 64
    size: int = 128
    fps: float = 25.0
    labels: bool = False

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: SupportsIndex) -> ClipRecord:
        seed = self.seed + _checked(index, self.clips)
        person = sample_person(seed)
        landmarks = clip_landmarks(seed, num_frames=self.num_frames, fps=self.fps)
        attributes = {
            name: list(value) if isinstance(value, tuple) else value for name, value in person.attributes().items()
        }
        return ClipRecord(
            info=ClipInfo(
                id=f"synthetic-{seed}",
                identity=f"synthetic-{seed}",
                captions=tuple(person.caption(variant) for variant in range(NUM_CAPTIONS)),
                hard_negatives=person.hard_negatives(),
                attributes=attributes,
                source=f"synthetic:{seed}",
                licence="CC0-1.0",
                consent="not a real person",
                fps=self.fps,
            ),
            frames=RenderedFrames(person, landmarks, self.size),
            times=np.arange(self.num_frames) / self.fps,
            landmarks=landmarks,
            pose=_poses(sample_motion(seed, self.num_frames, self.fps)),
            labels=self._labels(person, landmarks) if self.labels else None,
        )

    def _labels(self, person: Person, landmarks: Float32[np.ndarray, "F 478 3"]) -> LabelMaps:
        return LabelMaps.encode(np.stack([region_masks(person, vertices, self.size) for vertices in landmarks]))


def _poses(motion: Motion) -> Float32[np.ndarray, "F 4 4"]:
    """The head pose in MediaPipe's axes (x right, y up, z to the viewer); in depth the head is at 0."""
    poses = np.tile(np.eye(4, dtype=np.float32), (len(motion), 1, 1))
    axes = np.diag([1, -1, -1])
    poses[:, :3, :3] = axes @ motion.rotation @ axes
    poses[:, :2, 3] = motion.translation * [1, -1]
    return poses


def open_source(spec: str | Path, *, num_frames: int = 64, size: int = 128, fps: float = 25.0) -> ClipSource:
    """Opens what a `--data` option names.

    Args:
        spec: a folder of records, `synthetic:N`, or `synthetic:N:SEED` (clips of the seeds SEED to SEED + N - 1).
        num_frames: frames of a synthetic clip.
        size: height and width of a synthetic clip, in pixels.
        fps: frames a second of a synthetic clip; fewer show more motion in as many frames.

    Raises:
        RecordError: if it is neither, or the folder is not usable.
    """
    if str(spec).startswith("synthetic:"):
        numbers = _numbers(str(spec).split(":")[1:])
        if not 1 <= len(numbers) <= 2 or numbers[0] < 1:
            raise RecordError(f"{spec!r} is not of the form synthetic:N or synthetic:N:SEED with N >= 1")
        return SyntheticSource(*numbers, num_frames=num_frames, size=size, fps=fps)
    return ShardSource(spec)


def _checked(index: SupportsIndex, length: int) -> int:
    place = index.__index__()
    if not 0 <= place < length:
        raise IndexError(f"clip {place} of {length}")
    return place


def _numbers(words: Sequence[str]) -> list[int]:
    return [int(word) for word in words] if all(word.isdecimal() for word in words) else []
