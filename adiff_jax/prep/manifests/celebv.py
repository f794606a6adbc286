"""CelebV-HQ and CelebV-Text: JSON, a clip a key.

CelebV-Text comes in four dialects: clips under `clips`, at the top level, or under `clips_set1` and `clips_set2`; with
boxes in pixels or as shares of the picture; keys with and without `.mp4`; `ytb_id` or `vid_id`. Times are in seconds,
rounded so that they may cut across a change of scene: the shot cut takes care of that.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adiff_jax.prep.items import Box, Item, Span, VideoFolder
from adiff_jax.prep.manifests.parsing import ManifestError, naming, read_json, seconds

EXPAND = 0.02  # of the picture, to each side: as the public script of CelebV-HQ does before it squares the box


@dataclasses.dataclass(frozen=True)
class CelebV:
    """Reader of both sets."""

    name: str
    licence: str

    def matches(self, path: Path) -> bool:
        """A JSON object of clips; that of CelebV-HQ has attributes."""
        if path.suffix != ".json" or not path.is_file():
            return False
        try:
            clips = _clips(json.loads(path.read_text(encoding="utf-8-sig")))
        except (ValueError, ManifestError):
            return False
        first = next(iter(clips.values()), {})
        return isinstance(first, dict) and "bbox" in first and ("attributes" in first) == (self.name == "CelebV-HQ")

    def read(self, path: Path, videos: VideoFolder) -> list[Item]:
        """The clips in the file's order."""
        items = []
        for key, clip in _clips(read_json(path)).items():
            with naming(f"{path}, clip {key}"):
                items.append(self._item(key.removesuffix(".mp4"), clip, videos))
        return items

    def _item(self, key: str, clip: Mapping[str, Any], videos: VideoFolder) -> Item:
        source = str(clip["ytb_id"] if "ytb_id" in clip else clip["vid_id"])
        path, place = videos.find(key, source)
        cut = place == 0 and key != source
        start, stop = _times(clip)
        return Item(
            id=key,
            path=path,
            span=Span() if cut else Span(start, stop),
            box=None if cut else _box(clip["bbox"]),
            attributes=_attributes(clip.get("attributes", {})),
            source=f"{self.name}:{source}",
            licence=clip.get("licence", self.licence),
            consent=clip.get("consent", ""),
        )


HQ = CelebV("CelebV-HQ", "non-commercial research (CelebV-HQ)")
TEXT = CelebV("CelebV-Text", "non-commercial research (CelebV-Text)")


def _clips(root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The clips by key, in any of the dialects."""
    if not isinstance(root, dict):
        raise ManifestError("a JSON object expected")
    if "clips" in root:
        return root["clips"]
    if sets := [name for name in root if name.startswith("clips_set")]:
        return {key: clip for name in sets for key, clip in root[name].items()}
    return {key: clip for key, clip in root.items() if isinstance(clip, dict) and "bbox" in clip}


def _times(clip: Mapping[str, Any]) -> tuple[float, float]:
    if "duration" in clip:
        return float(clip["duration"]["start_sec"]), float(clip["duration"]["end_sec"])
    time = clip["time"]
    if isinstance(time, str):
        time = time.split("-")
    start, stop = (seconds(str(limit)) for limit in time)
    return start, stop


def _box(box: Mapping[str, Any]) -> Box:
    """Shares of the picture if no border is beyond 1, else pixels."""
    left, top, right, bottom = (float(box[side]) for side in ("left", "top", "right", "bottom"))
    if right <= left or bottom <= top:
        raise ValueError(f"an empty box: {dict(box)}")
    if max(left, top, right, bottom) > 1:
        return Box(left, top, right, bottom, size=None)
    return Box(max(left - EXPAND, 0), max(top - EXPAND, 0), min(right + EXPAND, 1), min(bottom + EXPAND, 1))


def _attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """As they are; the long 0/1 lists of CelebV-HQ keep their order."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in attributes.items()}
