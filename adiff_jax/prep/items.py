"""What a manifest says of one clip: the file, the time, the place in the picture, and what is known in words."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})


@dataclasses.dataclass(frozen=True)
class Span:
    """A part of a video, half-open: from `start` up to, and not with, `stop`.

    Attributes:
        start, stop: in seconds, or in frames.
        fps: None if they are seconds; the rate that frames were counted at; 0 for the video's own.
    """

    start: float = 0.0
    stop: float = math.inf
    fps: float | None = None

    def seconds(self, video_fps: float) -> tuple[float, float]:
        """Limits of the time of the frames that belong to it.

        Frame numbers become times half a frame early, so that rounding of timestamps moves no frame over the border.
        """
        if self.fps is None:
            return self.start, self.stop
        fps = self.fps or video_fps
        return (self.start - 0.5) / fps, (self.stop - 0.5) / fps


@dataclasses.dataclass(frozen=True)
class Box:
    """Where the face, or the head, is.

    Attributes:
        left, top, right, bottom: borders; x to the right, y down.
        size: width and height of the picture they count in: (1, 1) for shares of it, None for the file's own pixels;
            a width of 0 is not known, and follows from the height.
    """

    left: float
    top: float
    right: float
    bottom: float
    size: tuple[float, float] | None = (1.0, 1.0)

    def pixels(self, width: int, height: int) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) in a picture of `width` x `height`."""
        if self.size is None:
            return self.left, self.top, self.right, self.bottom
        y = height / self.size[1]
        x = width / self.size[0] if self.size[0] else y
        return self.left * x, self.top * y, self.right * x, self.bottom * y


@dataclasses.dataclass(frozen=True)
class Item:
    """One clip to make.

    Attributes:
        id: its name in the data set.
        path: the video's path or address; empty if it is not there.
        span: the part of the video.
        box: which face; None for the largest.
        identity, captions, attributes, licence, consent: as in `ClipInfo`.
        source: what the manifest calls the video.
    """

    id: str
    path: str
    span: Span = Span()
    box: Box | None = None
    identity: str = ""
    captions: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    source: str = ""
    licence: str = ""
    consent: str = ""


class VideoFolder:
    """The videos of a folder by name, whatever their suffix and folder."""

    def __init__(self, root: str, names: list[str]):
        """`names` are paths of files in `root`, with `/`."""
        self.root, self.names = root, sorted(names)
        self._by_path: dict[str, str] = {}
        self._by_stem: dict[str, str] = {}
        for name in reversed(self.names):  # of equal names the first one wins
            path = PurePosixPath(name)
            if path.suffix.lower() in VIDEO_SUFFIXES:
                self._by_path[str(path.with_suffix(""))] = self._by_stem[path.stem] = name

    def address(self, name: str) -> str:
        """The path or address of one of `names`."""
        return f"{self.root.rstrip('/')}/{name}"

    def find(self, *candidates: str) -> tuple[str, int]:
        """Address of the first candidate that is there, and its place among them; ("", -1) if none is.

        A candidate is a path without suffix, `id10270/5r0dWxy17C8/00001`, or a bare name.
        """
        for place, candidate in enumerate(candidates):
            name = self._by_path.get(candidate) or (None if "/" in candidate else self._by_stem.get(candidate))
            if name:
                return self.address(name), place
        return "", -1
