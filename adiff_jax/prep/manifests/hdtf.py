"""HDTF: a folder of space-separated `{RD,WDA,WRA}_{video_url,resolution,annotion_time,crop_wh}.txt`.

Times are `MM:SS-MM:SS`, several a video; clip i of VIDEO is VIDEO_i. A crop is `x width y height` in pixels of a
picture whose height is the video's resolution; it is left out where crop or resolution are missing. `crop_ratio` is not
needed: crops are made anew.
"""

from pathlib import Path

from adiff_jax.prep.items import Box, Item, Span, VideoFolder
from adiff_jax.prep.manifests.parsing import lines, naming, seconds

LICENCE = "CC-BY 4.0"
SUBSETS = ("RD", "WDA", "WRA")
TIMES = "annotion_time"  # so spelt in the data set


def matches(path: Path) -> bool:
    """A folder with the times of one of the subsets."""
    return path.is_dir() and any((path / f"{subset}_{TIMES}.txt").is_file() for subset in SUBSETS)


def read(path: Path, videos: VideoFolder) -> list[Item]:
    """The clips by subset, in the files' order."""
    return [item for subset in SUBSETS for item in _subset(path, subset, videos)]


def _subset(path: Path, subset: str, videos: VideoFolder) -> list[Item]:
    crops, resolutions = _table(path / f"{subset}_crop_wh.txt"), _table(path / f"{subset}_resolution.txt")
    items = []
    for video, (place, spans) in _table(path / f"{subset}_{TIMES}.txt").items():
        for index, span in enumerate(spans):
            clip = f"{video}_{index}"
            with naming(place):
                start, stop = (seconds(limit) for limit in span.split("-"))
                box = _box(crops.get(clip), resolutions.get(video))
            address, found = videos.find(clip, video)
            items.append(
                Item(
                    id=f"{subset}/{clip}",
                    path=address,
                    span=Span() if found == 0 else Span(start, stop),
                    box=None if found == 0 else box,
                    source=f"HDTF:{video}",
                    licence=LICENCE,
                )
            )
    return items


def _box(crop: tuple[str, list[str]] | None, resolution: tuple[str, list[str]] | None) -> Box | None:
    """The crop as shares of the picture's height, in both directions: the width of the picture is not told."""
    if not crop or not resolution or len(resolution[1]) != 1:
        return None
    with naming(crop[0]):
        x, width, y, height = (float(value) for value in crop[1])
        lines_of_picture = float(resolution[1][0])
    return Box(x, y, x + width, y + height, size=(0, lines_of_picture))


def _table(path: Path) -> dict[str, tuple[str, list[str]]]:
    """First words without `.mp4` -> place and the other words. A subset's file may be absent."""
    if not path.is_file():
        return {}
    rows = ((place, line.split()) for place, line in lines(path))
    return {words[0].removesuffix(".mp4"): (place, words[1:]) for place, words in rows}
