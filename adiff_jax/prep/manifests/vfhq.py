"""VFHQ: a folder of text files, one a clip, named `Clip+VIDEO+P<person>+C<clip>+F<start>-<end>.txt`.

The lines used are `H`, `W`, `FPS` and `CROP x0 y0 x1 y1`. Public parsers disagree by a frame at either end; taken are
the frames that all of them take: from start + 1 up to, and not with, end - 1.
"""

import re
from pathlib import Path

from adiff_jax.prep.items import Box, Item, Span, VideoFolder
from adiff_jax.prep.manifests.parsing import ManifestError, lines, naming

LICENCE = "non-commercial research (VFHQ)"
_NAME = re.compile(r"Clip\+(?P<video>.+)\+P(?P<person>\d+)\+C(?P<clip>\d+)\+F(?P<start>\d+)-(?P<stop>\d+)")


def matches(path: Path) -> bool:
    """A folder with such a file."""
    return path.is_dir() and any(_NAME.fullmatch(file.stem) for file in path.glob("Clip+*.txt"))


def read(path: Path, videos: VideoFolder) -> list[Item]:
    """The clips by file name. Persons are numbered within a video: the identity is the video and the number."""
    return [_item(file, videos) for file in sorted(path.glob("Clip+*.txt"))]


def _item(file: Path, videos: VideoFolder) -> Item:
    name = _NAME.fullmatch(file.stem)
    if not name:
        raise ManifestError(f"{file}: a name of the form Clip+VIDEO+P0+C0+F100-200.txt expected")
    fields = {key: values for _, line in lines(file) for key, *values in [line.split()]}
    with naming(str(file)):
        height, width, fps = (float(fields[key][-1]) for key in ("H", "W", "FPS"))
        left, top, right, bottom = (float(value) for value in fields["CROP"][-4:])
    video = name["video"]
    path, place = videos.find(file.stem, video)
    cut = place == 0
    return Item(
        id=file.stem,
        path=path,
        span=Span() if cut else Span(int(name["start"]) + 1, int(name["stop"]) - 1, fps),
        box=None if cut else Box(left, top, right, bottom, size=(width, height)),
        identity=f"VFHQ:{video}:{int(name['person'])}",
        source=f"VFHQ:{video}",
        licence=LICENCE,
    )
