"""VoxCeleb1 as a table of clips, and VoxCeleb2 as a folder of tracks.

VoxCeleb1: CSV with `video_id,start,end,bbox,fps,width,height,partition` and perhaps `person_id`; start and end in
frames at that fps, the end not included; bbox is `left-top-right-bottom` in pixels of that width and height.

VoxCeleb2: `IDENTITY/VIDEO/TRACK.txt`, a header (`Identity`, `Reference`, `Offset`, `FV Conf`, `ASD Conf`), then lines
`FRAME X Y W H`: frames at 25 a second, both the first and the last included, boxes as shares of the picture.
"""

import csv
import dataclasses
import statistics
from pathlib import Path
from types import SimpleNamespace

from adiff_jax.prep.items import Box, Item, Span, VideoFolder
from adiff_jax.prep.manifests.parsing import ManifestError, first_line, lines, naming

LICENCE = "CC-BY 4.0 for the metadata; videos belong to their owners (VoxCeleb)"
VOX2_FPS = 25.0
_COLUMNS = ("video_id", "start", "end", "bbox", "fps", "width", "height")


def _vox1_matches(path: Path) -> bool:
    return path.suffix == ".csv" and set(_COLUMNS) <= set(first_line(path).split(","))


def _vox1_read(path: Path, videos: VideoFolder) -> list[Item]:
    items = []
    with naming(str(path)), path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        if missing := [name for name in _COLUMNS if name not in (table.fieldnames or ())]:
            raise ManifestError(f"{path}: there is no column {missing[0]!r}")
        for row in table:
            with naming(f"{path}, line {table.line_num}"):
                items.append(_vox1_item(row, videos))
    return items


def _vox1_item(row: dict[str, str], videos: VideoFolder) -> Item:
    """In some tables the video's id is `VIDEO#PERSON`."""
    video, _, person = row["video_id"].partition("#")
    person = row.get("person_id") or person
    words = [word for word in (person, video, row["start"].zfill(6), row["end"].zfill(6)) if word]
    clip = "#".join(words)
    path, place = videos.find(clip, video)
    box = Box(*(float(border) for border in row["bbox"].split("-")), size=(float(row["width"]), float(row["height"])))
    span = Span(float(row["start"]), float(row["end"]), float(row["fps"]))
    return Item(
        id=clip,
        path=path,
        span=Span() if place == 0 else span,
        box=None if place == 0 else box,
        identity=f"VoxCeleb:{person}" if person else "",
        attributes={"partition": row["partition"]} if row.get("partition") else {},
        source=f"VoxCeleb1:{video}",
        licence=LICENCE,
    )


@dataclasses.dataclass(frozen=True)
class _Track:
    identity: str
    video: str
    frames: tuple[int, ...]
    boxes: tuple[tuple[float, ...], ...]  # x, y, w, h


def _vox2_matches(path: Path) -> bool:
    first = next(iter(path.rglob("*.txt")), None) if path.is_dir() else None
    return first is not None and first_line(first).startswith("Identity")


def _vox2_read(path: Path, videos: VideoFolder) -> list[Item]:
    return [_vox2_item(file, file.relative_to(path).with_suffix(""), videos) for file in sorted(path.rglob("*.txt"))]


def _vox2_item(file: Path, name: Path, videos: VideoFolder) -> Item:
    track = _vox2_track(file)
    if not track.frames:
        raise ManifestError(f"{file}: there is no frame")
    tail = "/".join((track.identity, track.video, file.stem))
    path, place = videos.find(name.as_posix(), tail, f"mp4/{tail}", track.video)
    cut = 0 <= place < 3
    x, y, w, h = (statistics.median(column) for column in zip(*track.boxes))
    return Item(
        id=name.as_posix(),
        path=path,
        span=Span() if cut else Span(track.frames[0], track.frames[-1] + 1, VOX2_FPS),
        box=None if cut else Box(x, y, x + w, y + h),
        identity=f"VoxCeleb:{track.identity}",
        source=f"VoxCeleb2:{track.video}",
        licence=LICENCE,
    )


def _vox2_track(file: Path) -> _Track:
    header: dict[str, str] = {}
    frames: list[int] = []
    boxes: list[tuple[float, ...]] = []
    in_table = False
    for place, line in lines(file):
        with naming(place):
            if in_table:
                frame, *box = line.split()
                if len(box) != 4:
                    raise ValueError("FRAME X Y W H expected")
                frames.append(int(frame))
                boxes.append(tuple(float(value) for value in box))
            elif line.startswith("FRAME"):
                in_table = True
            else:
                key, _, value = line.partition(":")
                header[key.strip()] = value.strip()
    with naming(str(file)):
        return _Track(header["Identity"], header["Reference"], tuple(frames), tuple(boxes))


VOX1 = SimpleNamespace(matches=_vox1_matches, read=_vox1_read)
VOX2 = SimpleNamespace(matches=_vox2_matches, read=_vox2_read)
