"""Measurements of single videos on disk, so that a long evaluation can be stopped and goes on where it stopped."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adiff_jax.media.files import write_aside


class Store:
    """JSON files in a folder, one a video, all measured with the same settings.

    Args:
        folder: made if it is not there.
        settings: everything that the measurements depend on, beside what is in their names.

    Raises:
        ValueError: the folder holds measurements with other settings.
    """

    def __init__(self, folder: str | os.PathLike, settings: Mapping[str, Any]):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "settings.json"
        wanted = json.loads(json.dumps(settings, default=str))
        if path.exists():
            found = json.loads(path.read_text())
            if different := sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)):
                raise ValueError(
                    f"{self.folder} holds measurements with another {', '.join(different)}: choose another --out, or "
                    "remove it"
                )
        else:
            self._write(path, wanted)

    def get(self, name: str) -> dict[str, Any] | None:
        """The measurement of that name, if it was made."""
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def put(self, name: str, measurement: Mapping[str, Any]) -> None:
        """Keeps a measurement; NaN is kept as NaN."""
        self._write(self.folder / f"{name}.json", measurement)

    @staticmethod
    def _write(path: Path, content: Mapping[str, Any]) -> None:
        with write_aside(path) as draft:
            draft.write_text(json.dumps(content, indent=1) + "\n")
