"""The metadata of public data sets, each format in its file, all to the same `Item`s.

A reader has two functions: `matches` (is this path in that format?) and `read` (its clips, in a fixed order). Videos
that were cut and cropped already, named after the clip, are preferred to the whole source video.
"""

import dataclasses
from pathlib import Path
from typing import Protocol

from adiff_jax.prep.items import Item, VideoFolder
from adiff_jax.prep.manifests import celebv, hdtf, talkinghead, vfhq, voxceleb
from adiff_jax.prep.manifests.parsing import ManifestError


class Reader(Protocol):
    """A metadata format."""

    def matches(self, path: Path) -> bool:
        """Whether `path` is in this format."""
        ...

    def read(self, path: Path, videos: VideoFolder) -> list[Item]:
        """Its clips.

        Raises:
            ManifestError: naming the line or key that cannot be read.
        """
        ...


FORMATS: dict[str, Reader] = {
    "celebv-hq": celebv.HQ,
    "celebv-text": celebv.TEXT,
    "vfhq": vfhq,
    "voxceleb1": voxceleb.VOX1,
    "voxceleb2": voxceleb.VOX2,
    "talkinghead-1kh": talkinghead,
    "hdtf": hdtf,
}


def read_manifest(path: Path, videos: VideoFolder, kind: str = "auto", texts: Path | None = None) -> list[Item]:
    """The clips of a manifest.

    Args:
        path: file or folder of metadata.
        videos: the downloaded videos; what is not there is listed with an empty path.
        kind: one of `FORMATS`, or "auto".
        texts: folder with one text file a clip, `ID.txt`, whose lines become captions.

    Raises:
        ManifestError: the format is unknown, damaged, or lists no clip or a clip twice.
    """
    if not path.exists():
        raise ManifestError(f"{path}: no such manifest")
    if kind == "auto":
        kind = next((name for name, reader in FORMATS.items() if reader.matches(path)), "")
    if kind not in FORMATS:
        raise ManifestError(f"{path} is in none of the known formats: {', '.join(FORMATS)}")
    items = FORMATS[kind].read(path, videos)
    if not items:
        raise ManifestError(f"{path} lists no clip")
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise ManifestError(f"{path} lists the clip {item.id} twice")
        seen.add(item.id)
    return [_with_captions(item, texts) for item in items] if texts else items


def _with_captions(item: Item, texts: Path) -> Item:
    path = texts / f"{item.id}.txt"
    if not path.is_file():
        return item
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    return dataclasses.replace(item, captions=(*item.captions, *filter(None, lines)))


__all__ = ["FORMATS", "ManifestError", "read_manifest"]
