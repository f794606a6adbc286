"""Latents of finished chunks on disk, from which an interrupted video goes on.

    FOLDER/
      settings.json             what determines the latents
      chunk-00000.safetensors   numbers and latents of its frames
      state.safetensors         what the next chunk is told; its metadata says how many chunks are finished

A chunk counts once the state after it is written. Every file is written aside and renamed, and so is the folder, which
is thus never there without its settings.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

SETTINGS = "settings.json"
STATE = "state.safetensors"


class LatentStore:
    """Finished chunks in a folder, which is made with the first of them.

    Args:
        folder: where they are.
        settings: everything that determines the latents, by name.
        resume: take over what the folder holds; else begin anew, at the first chunk that is written.

    Raises:
        ValueError: there is something to take over, but made with other settings, or damaged.
    """

    def __init__(self, folder: str | os.PathLike, settings: Mapping[str, str], resume: bool = False):
        self.folder = Path(folder)
        self._settings = dict(settings)
        self._fresh = True
        if resume and (self.folder / STATE).is_file():
            self._check()
            self._fresh = False

    @property
    def finished(self) -> int:
        """Number of finished chunks."""
        if self._fresh:
            return 0
        with self._reading(), safe_open(self.folder / STATE, "numpy") as file:
            return int(file.metadata()["finished"])

    @property
    def state(self) -> Float32[np.ndarray, "..."]:
        """What the chunk after the finished ones is told."""
        with self._reading():
            return load_file(self.folder / STATE)["state"]

    def load(self, index: int) -> tuple[Int[np.ndarray, " M"], Float32[np.ndarray, "M h w c"]]:
        """Numbers and latents of a finished chunk's frames.

        Raises:
            ValueError: the file is missing or damaged.
        """
        with self._reading():
            chunk = load_file(self._chunk(index))
            return chunk["numbers"], chunk["latents"]

    def save(
        self,
        index: int,
        numbers: Int[np.ndarray, " M"],
        latents: Float32[np.ndarray, "M h w c"],
        state: Float32[np.ndarray, "..."],
    ) -> None:
        """Adds the chunk after the finished ones."""
        if self._fresh:
            self.remove()
            aside = self._aside()
            aside.mkdir(parents=True)
            (aside / SETTINGS).write_text(json.dumps(self._settings, indent=1))
            aside.rename(self.folder)
            self._fresh = False
        save_aside(self._chunk(index), {"numbers": numbers, "latents": latents}, {})
        save_aside(self.folder / STATE, {"state": state}, {"finished": str(index + 1)})

    def remove(self) -> None:
        """Deletes the folder, if it is one that a store made."""
        if (self.folder / SETTINGS).is_file():
            aside = self._aside()
            self.folder.rename(aside)
            shutil.rmtree(aside)

    def _aside(self) -> Path:
        """Where the folder is while it is made or deleted; nothing is there."""
        aside = self.folder.with_name(f".{self.folder.name}.part")
        shutil.rmtree(aside, ignore_errors=True)
        return aside

    def _chunk(self, index: int) -> Path:
        return self.folder / f"chunk-{index:05}.safetensors"

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ValueError(f"{self.folder} is damaged; remove it, and begin without --resume") from error

    def _check(self) -> None:
        with self._reading():
            before = dict(json.loads((self.folder / SETTINGS).read_text()))
            with safe_open(self.folder / STATE, "numpy") as file:
                int(file.metadata()["finished"]), file.get_slice("state")
        names = {**before, **self._settings}
        if changed := [name for name in names if before.get(name) != self._settings.get(name)]:
            raise ValueError(
                f"{self.folder} cannot be resumed: it was begun with another {', '.join(changed)}; "
                "use the same again, or begin without --resume"
            )


def save_aside(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file whole or not at all."""
    draft = path.with_name(f".{path.name}.part")
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, draft, dict(metadata))
    draft.replace(path)
