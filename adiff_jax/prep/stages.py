"""What is done to one video: pure functions from an entry of a manifest to its records.

video ─► shots ─► one face followed ─► parts ─► filters ─► crops ─► filters ─► records ─► encoders
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from adiff_jax.data.schema import ClipInfo, ClipRecord
from adiff_jax.data.storage import split_address
from adiff_jax.media.crop import crop_image, crop_track, normalise
from adiff_jax.media.errors import MediaError
from adiff_jax.media.landmarks import FaceLandmarks, LandmarkDetector
from adiff_jax.media.video import Frame, VideoReader, read_video
from adiff_jax.prep.ahead import in_threads
from adiff_jax.prep.duplicates import look_hash, motion_signature
from adiff_jax.prep.identities import pack
from adiff_jax.prep.items import Item
from adiff_jax.prep.measures import Measures, check_pictures, check_track, picture_measures, track_measures
from adiff_jax.prep.options import PrepareOptions
from adiff_jax.prep.outcome import ClipRejected, Fact, Outcome, Rejection
from adiff_jax.prep.sniffing import check_content
from adiff_jax.prep.tracking import Shot, follow, frames_of, thinning, thumbnail

Encoder = Callable[[UInt8[np.ndarray, "F H W 3"]], Float[np.ndarray, "F ..."]]
TextEncoder = Callable[[Sequence[str]], Float[np.ndarray, "C E"]]
FaceEncoder = Callable[[UInt8[np.ndarray, "F H W 3"], Float[np.ndarray, "F 478 3"]], Float[np.ndarray, "F I"]]

_CROPPERS = 2  # threads
_FACE_FRAMES = 8  # frames of a clip whose identity embeddings are averaged
_MISSING_SHARE = 0.02  # of the frames that the header promises; headers are wrong by a frame or two


@dataclasses.dataclass(frozen=True)
class Encoders:
    """Models that add to records; given as plain functions, so that preparation loads none itself.

    Attributes:
        name: which models these are, with their version; records encoded by another name are encoded anew.
        moments: RGB frames -> mean and log variance of the autoencoder's posterior [F, h, w, 2c].
        clip_image: RGB frames -> L2-normalised CLIP image embeddings [F, E].
        clip_text: captions -> their CLIP embeddings where those of pictures lie, L2-normalised [C, E].
        face: RGB frames and their landmarks -> L2-normalised identity embeddings [F, I].
    """

    name: str = "none"
    moments: Encoder | None = None
    clip_image: Encoder | None = None
    clip_text: TextEncoder | None = None
    face: FaceEncoder | None = None


def encode(record: ClipRecord, encoders: Encoders) -> ClipRecord:
    """The record with what the encoders add. They see the pictures as the record will store them, after JPEG."""
    if not (encoders.moments or encoders.clip_image or encoders.clip_text or encoders.face):
        return record
    record = record.compressed()
    frames = record.frames[np.arange(len(record))]
    added = {
        name: np.asarray(encoder(frames), np.float16)
        for name, encoder in (("moments", encoders.moments), ("clip_image", encoders.clip_image))
        if encoder
    }
    if encoders.clip_text:
        added["clip_text"] = np.asarray(encoders.clip_text(record.info.captions), np.float16)
    if encoders.face:
        few = np.unique(np.linspace(0, len(frames) - 1, _FACE_FRAMES).round().astype(int))
        mean = np.asarray(encoders.face(frames[few], record.landmarks[few]), np.float32).mean(axis=0)
        added["face_embedding"] = mean / max(float(np.linalg.norm(mean)), 1e-6)
    return dataclasses.replace(record, **added)


def fact_of(record: ClipRecord, picture: bool = True) -> Fact:
    """What later stages need to know of a clip, with or without a picture for the report."""
    middle = record.frames[np.array([len(record) // 2])][0]
    return Fact(
        clip=record.info.id,
        frames=len(record),
        seconds=round(float(record.times[-1] - record.times[0]), 3),
        identity=record.info.identity,
        measures=record.info.measures,
        look=look_hash(middle),
        motion=motion_signature(record.landmarks, record.times),
        face="" if record.face_embedding is None else pack(record.face_embedding),
        picture=thumbnail(middle) if picture else "",
    )


def segments(found: Bool[np.ndarray, "F"], shortest: int, longest: int) -> list[slice]:
    """Cuts a track where the face was lost, and what remains into equal parts of at most `longest` frames.

    >>> segments(np.array([1, 1, 1, 0, 1, 1, 1, 1], bool), shortest=2, longest=3)
    [slice(0, 3, None), slice(4, 6, None), slice(6, 8, None)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found, [False]])))
    cut = []
    for start, stop in edges.reshape(-1, 2).tolist():
        parts = -(-(stop - start) // longest)
        borders = np.linspace(start, stop, parts + 1).round().astype(int).tolist()
        cut += [slice(*pair) for pair in itertools.pairwise(borders)]
    return [part for part in cut if part.stop - part.start >= shortest]


def video_clips(item: Item, detector: LandmarkDetector, options: PrepareOptions) -> tuple[Outcome, list[ClipRecord]]:
    """The records of one entry of a manifest, and what became of the rest of it.

    The video is read twice, so that the crops of one clip at most are in memory; the records of all are, as JPEG.
    """
    if not item.path:
        return Outcome(item.id, "missing", f"there is no video for {item.source or item.id}"), []
    try:
        with _local_file(item.path) as path:
            check_content(path)
            return _clips(path, item, detector, options)
    except ClipRejected as rejected:
        return Outcome(item.id, rejected.reason, str(rejected)), []
    except MediaError as error:
        return Outcome(item.id, "unreadable", str(error)), []
    except FileNotFoundError as error:
        return Outcome(item.id, "missing", str(error)), []


@contextlib.contextmanager
def _local_file(address: str) -> Iterator[Path]:
    if "://" not in address:
        yield Path(address)
        return
    folder, name = split_address(address)
    with folder.reading(name) as path:
        yield path


@dataclasses.dataclass(frozen=True)
class _Part:
    """A part of a shot that may become a clip.

    `lost`, if the face was lost too soon, says so; but where the pictures are bad, that is the reason for it.
    """

    id: str
    shot: Shot
    part: slice
    measures: Measures
    lost: ClipRejected | None = None

    @property
    def first(self) -> int:
        """Number of its first frame in the video."""
        return self.shot.first + self.part.start

    def rejected(self, error: ClipRejected, picture: str) -> Rejection:
        assert self.shot.track is not None
        if self.lost:  # all of the shot is
            return Rejection(self.id, self.shot.start, self.shot.stop, error.reason, str(error), picture)
        start, stop = (round(float(self.shot.track.times[index]), 3) for index in (self.part.start, self.part.stop - 1))
        return Rejection(self.id, start, stop, error.reason, str(error), picture)


def _clips(
    path: Path, item: Item, detector: LandmarkDetector, options: PrepareOptions
) -> tuple[Outcome, list[ClipRecord]]:
    with read_video(path) as video:
        shots = follow(video, item, detector, options)
        _check_complete(video)
        size, fps = (video.width, video.height), float(video.fps)
        notes = _notes(video, shots, options)
    if not shots:
        raise ClipRejected("too short", f"{item.id}: the video has no frame in the given time")
    parts, rejected = _candidates(item, shots, size, options)
    fps /= thinning(fps, options.max_fps)
    kept, records = [], []
    for part, crops, boxes in _crops(path, item, parts, options):
        try:
            record = _record(item, part, crops, boxes, fps, options)
        except ClipRejected as error:
            rejected.append(part.rejected(error, thumbnail(crops[len(crops) // 2])))
            continue
        records.append(record.compressed())
        kept.append(fact_of(records[-1], picture=not kept))
    reason, detail = ("", "") if kept else _main_reason(rejected)
    rejected.sort(key=lambda part: (part.start, part.clip))
    return Outcome(item.id, reason, detail, tuple(kept), tuple(rejected), notes), records


def _check_complete(video: VideoReader) -> None:
    if video.num_frames and video.missing > max(2, _MISSING_SHARE * video.num_frames):
        raise ClipRejected(
            "truncated", f"{video.missing} of {video.num_frames} frames are missing: fetch the file again"
        )


def _notes(video: VideoReader, shots: list[Shot], options: PrepareOptions) -> tuple[str, ...]:
    notes = []
    if (step := thinning(float(video.fps), options.max_fps)) > 1:
        notes.append(f"every {step}th frame of {float(video.fps):g} a second")
    if len(shots) > 1:
        notes.append(f"cut into {len(shots)} shots")
    if not video.has_audio:
        notes.append("no sound")
    return tuple(notes)


def _candidates(
    item: Item, shots: list[Shot], size: tuple[int, int], options: PrepareOptions
) -> tuple[list[_Part], list[Rejection]]:
    """The parts of the shots whose pictures must be looked at, and those of which landmarks tell enough."""
    parts, rejected = [], []
    for shot in shots:
        track = shot.track
        if track is None or not track.found.any():
            error = ("no face", f"in {shot.frames} frames")
            rejected.append(Rejection(f"{item.id}#{shot.first}", shot.start, shot.stop, *error, shot.picture))
            continue
        cut = segments(track.found, options.shortest, options.longest)
        if not cut:
            longest = max(segments(track.found, 1, len(track)), key=lambda part: part.stop - part.start)
            seen = longest.stop - longest.start
            lost = ClipRejected(
                "too short", f"the face is seen for {seen} frames on end, at least {options.shortest} are kept"
            )
            fragment = _Part(f"{item.id}#{shot.first}", shot, longest, {}, lost)
            if shot.frames < options.shortest:
                rejected.append(fragment.rejected(lost, shot.picture))
            else:
                parts.append(fragment)
        for part in cut:
            measures = track_measures(track, part, *size)
            candidate = _Part(f"{item.id}#{shot.first + part.start}", shot, part, measures)
            try:
                _check_alone(shot, part, options)
                check_track(measures, options.filters)
            except ClipRejected as error:
                rejected.append(candidate.rejected(error, shot.picture))
            else:
                parts.append(candidate)
    return parts, rejected


def _check_alone(shot: Shot, part: slice, options: PrepareOptions) -> None:
    share = shot.crowded(part)
    if share > options.faces.rival_share:
        raise ClipRejected("several faces", f"{share:.0%} of the frames show another face")


def _crops(
    path: Path, item: Item, parts: list[_Part], options: PrepareOptions
) -> Iterator[tuple[_Part, UInt8[np.ndarray, "F H W 3"], Float[np.ndarray, "F 3"]]]:
    """The second look at the video: crops of each part, and their boxes."""
    if not parts:
        return
    with read_video(path) as video, frames_of(video, item.span, options.max_fps) as frames:
        numbered = enumerate(frames)
        for part in parts:
            assert part.shot.track is not None
            boxes = crop_track(part.shot.track.points[part.part])
            stop = part.first + len(boxes)
            pairs = ((frame.image, boxes[index - part.first]) for index, frame in _between(numbered, part.first, stop))
            with in_threads(lambda pair: crop_image(*pair, options.size), pairs, _CROPPERS) as crops:
                yield part, np.stack(list(crops)), boxes


def _between(frames: Iterator[tuple[int, Frame]], start: int, stop: int) -> Iterator[tuple[int, Frame]]:
    """The numbered frames from `start` up to, and not with, `stop`."""
    for index, frame in frames:
        if index >= start:
            yield index, frame
        if index + 1 == stop:
            return


def _record(
    item: Item,
    part: _Part,
    crops: UInt8[np.ndarray, "F H W 3"],
    boxes: Float[np.ndarray, "F 3"],
    fps: float,
    options: PrepareOptions,
) -> ClipRecord:
    """A record, if its pictures are good enough; else raises `ClipRejected`."""
    track: FaceLandmarks | None = part.shot.track
    assert track is not None
    landmarks = normalise(track.points[part.part], boxes).astype(np.float32)
    measures = picture_measures(crops, landmarks)
    check_pictures(measures, options.filters)
    if part.lost:
        raise part.lost
    return ClipRecord(
        info=ClipInfo(
            id=part.id,
            identity=item.identity or item.source or item.id,
            captions=item.captions,
            attributes=dict(item.attributes),
            source=item.source or item.id,
            licence=item.licence,
            consent=item.consent,
            fps=fps,
            measures=part.measures | measures,
        ),
        frames=crops,
        times=track.times[part.part].astype(np.float64),
        landmarks=landmarks,
        blendshapes=track.blendshapes[part.part],
        pose=track.pose[part.part],
    )


def _main_reason(rejected: list[Rejection]) -> tuple[str, str]:
    """Why a video gave no clip at all: what befell most of its time."""
    lost: dict[str, float] = {}
    for part in rejected:
        lost[part.reason] = lost.get(part.reason, 0.0) + part.stop - part.start
    reason = max(lost, key=lost.__getitem__)
    return reason, next(part.detail for part in rejected if part.reason == reason)
