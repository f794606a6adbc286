"""TalkingHead-1KH: `<set>_video_tubes.txt`, lines `name,H,W,S,E,L,T,R,B`.

S to E are frames of a one-minute chunk, E included, at the chunk's own rate; the box is in pixels of an H x W picture.
"""

from pathlib import Path

from adiff_jax.prep.items import Box, Item, Span, VideoFolder
from adiff_jax.prep.manifests.parsing import first_line, lines, naming

LICENCE = "CC-BY 3.0"


def matches(path: Path) -> bool:
    """A text file whose first line is a name and eight whole numbers."""
    if not path.is_file() or path.suffix != ".txt":
        return False
    _, *numbers = first_line(path).rsplit(",", 8)
    return len(numbers) == 8 and all(number.strip().isdecimal() for number in numbers)


def read(path: Path, videos: VideoFolder) -> list[Item]:
    """The clips in the file's order, named as the public script names them."""
    items = []
    for place, line in lines(path):
        with naming(place):
            name, *numbers = line.rsplit(",", 8)
            height, width, start, end, left, top, right, bottom = (int(number) for number in numbers)
        clip = f"{name}_S{start}_E{end}_L{left}_T{top}_R{right}_B{bottom}"
        address, found = videos.find(clip, name)
        items.append(
            Item(
                id=clip,
                path=address,
                span=Span() if found == 0 else Span(start, end + 1, fps=0.0),
                box=None if found == 0 else Box(left, top, right, bottom, size=(width, height)),
                source=f"TalkingHead-1KH:{name}",
                licence=LICENCE,
            )
        )
    return items
