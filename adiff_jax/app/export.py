"""The only way out for a generated video: encoded, with the driver's sound, marked as made by a machine."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from adiff_jax.app.pipeline import Reenactment
from adiff_jax.app.progress import Progress
from adiff_jax.app.provenance import Claim, stamp
from adiff_jax.app.sheets import contact_sheet, draw_landmarks, pick_frames, side_by_side
from adiff_jax.media.errors import MediaError
from adiff_jax.media.video import VideoWriter

SHEET_COLUMNS = 8


class Exported(NamedTuple):
    """The files of one export."""

    video: Path
    side_by_side: Path
    contact_sheet: Path


def output_files(out: str | os.PathLike) -> Exported:
    """Where the export to `out` goes; call it before the work, so that a bad path is refused early.

    Raises:
        MediaError: `out` is not named `*.mp4`, is a folder, or its folder does not exist.
    """
    out = Path(out)
    if out.suffix.lower() != ".mp4":
        raise MediaError(f"{out}: the output is an MP4 video; give it a name that ends in .mp4")
    if out.is_dir():
        raise MediaError(f"{out} is a folder; give the name of a file in it")
    if not out.parent.is_dir():
        raise MediaError(f"{out}: the folder {out.parent} does not exist; make it first")
    return Exported(out, out.with_suffix(".side_by_side.mp4"), out.with_suffix(".contact_sheet.png"))


def export(reenactment: Reenactment, out: str | os.PathLike, progress: Progress | None = None) -> Exported:
    """Writes the video, and next to it one with source, driver, landmarks and result side by side, and a contact sheet.

    Frames are written as they are decoded. The files appear together when all are complete; after an error there are
    none.

    Args:
        reenactment: what to write.
        out: the video, `*.mp4`.
        progress: called with the numbers of finished and of all frames after each.

    Raises:
        MediaError: see `output_files`.
    """
    files = output_files(out)
    claim = Claim(
        "reenacted", reenactment.bundle, {"source": reenactment.source.name, "driver": reenactment.driving.name}
    )
    with _drafts(files) as drafts:
        rows = _write_videos(reenactment, drafts, claim, progress)
        comment = PngImagePlugin.PngInfo()
        comment.add_text("Comment", claim.sentence())
        Image.fromarray(contact_sheet(rows)).save(drafts.contact_sheet, pnginfo=comment)
    return files


def _write_videos(
    reenactment: Reenactment, drafts: Exported, claim: Claim, progress: Progress | None
) -> tuple[list[np.ndarray], ...]:
    """Writes both videos in one pass; returns the rows of the contact sheet."""
    source, driving = reenactment.source.picture, reenactment.driving
    size = source.shape[0]
    chosen = pick_frames(len(driving.points), SHEET_COLUMNS)
    rows: tuple[list[np.ndarray], ...] = ([np.full_like(source, 255)], [np.full_like(source, 255)], [source])
    options = {"audio_from": driving.audio, "comment": claim.sentence()}
    with (
        VideoWriter(drafts.video, driving.fps, (size, size), **options) as video,
        VideoWriter(drafts.side_by_side, driving.fps, (4 * size, size), **options) as comparison,
    ):
        streams = zip(driving.times.tolist(), driving.frames(), reenactment.landmarks, reenactment, strict=True)
        for index, (time, driver, points, frame) in enumerate(streams):
            drawing, frame = draw_landmarks(points, size), stamp(frame)
            video.write(frame, time)
            comparison.write(side_by_side(source, driver, drawing, frame), time)
            if index in chosen:
                for row, picture in zip(rows, (driver, drawing, frame)):
                    row.append(picture)
            if progress is not None:
                progress(index + 1, len(reenactment))
    return rows


@contextlib.contextmanager
def _drafts(files: Exported) -> Iterator[Exported]:
    """Names in a folder of their own beside `files`; moved to `files` when all went well, else removed."""
    folder = Path(tempfile.mkdtemp(prefix=".adiff-", dir=files.video.parent))
    try:
        drafts = Exported(*(folder / path.name for path in files))
        yield drafts
        for draft, path in zip(drafts, files):
            draft.replace(path)
    finally:
        shutil.rmtree(folder)
