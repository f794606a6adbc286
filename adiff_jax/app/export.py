"""The only way out for a generated video: encoded, with the driver's sound, labelled and signed as machine-made."""

import contextlib
import dataclasses
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from adiff_jax.app.consent import Consent
from adiff_jax.app.manifest import sign
from adiff_jax.app.pipeline import GeneratedVideo
from adiff_jax.app.progress import Progress
from adiff_jax.app.provenance import Claim, Ingredient, stamp
from adiff_jax.app.sheets import contact_sheet, draw_landmarks, pick_frames, side_by_side
from adiff_jax.app.signing import Identity, load_identity
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


def export(
    video: GeneratedVideo,
    out: str | os.PathLike,
    progress: Progress | None = None,
    *,
    label: bool = True,
    identity: Identity | None = None,
    consent: Consent | None = None,
) -> Exported:
    """Writes the video, and next to it one with source, driver, landmarks and result side by side, and a contact sheet.

    Frames are written as they are decoded. Each file is signed with a C2PA manifest that says how it came to be, and of
    the two that show files that went in, that parts of them are not generated. The files appear together when all are
    complete; after an error there are none.

    Args:
        video: what to write.
        out: the video, `*.mp4`.
        progress: called with the numbers of finished and of all frames after each.
        label: draw `LABEL` into a corner of the frames; the manifest is there in any case.
        identity: who signs; the self-made key of this machine by default.
        consent: of the person in the source, for the manifest.

    Raises:
        MediaError: see `output_files`.
        SigningError: see `signing.load_identity` and `manifest.sign`.
    """
    files = output_files(out)
    identity = identity or load_identity()
    claim = _claim(video, consent)
    with _drafts(files) as (drafts, finished):
        rows = _write_videos(video, drafts, claim, label, progress)
        comment = PngImagePlugin.PngInfo()
        comment.add_text("Comment", claim.sentence())
        Image.fromarray(contact_sheet(rows)).save(drafts.contact_sheet, pnginfo=comment)
        beside = dataclasses.replace(claim, composite=claim.composite or any(given.sha256 for given in claim.inputs))
        for draft, path, what in zip(drafts, finished, (claim, beside, beside), strict=True):
            sign(draft, path, what, identity)
    return files


def ingredients_of(video: GeneratedVideo, consent: Consent | None) -> Iterator[Ingredient]:
    """What a video is made from, with the consent of the person who is animated, if it is a real one."""
    for role, origin in video.inputs.items():
        shown = role in ("source", "video") and origin.sha256
        yield Ingredient(role, origin.name, origin.sha256, consent if shown else None)


def _claim(video: GeneratedVideo, consent: Consent | None) -> Claim:
    ingredients = tuple(ingredients_of(video, consent))
    return Claim(video.action, video.bundle, ingredients, video.digests, composite=video.canvas is not None)


def _write_videos(
    video: GeneratedVideo, drafts: Exported, claim: Claim, label: bool, progress: Progress | None
) -> tuple[list[np.ndarray], ...]:
    """Writes both videos in one pass; returns the rows of the contact sheet."""
    source, driving = video.source.picture, video.driving
    size, canvas = source.shape[0], video.canvas
    chosen = pick_frames(len(driving.points), SHEET_COLUMNS)
    rows: tuple[list[np.ndarray], ...] = ([np.full_like(source, 255)], [np.full_like(source, 255)], [source])
    mark = stamp if label else lambda frame: frame
    options = {"audio": driving.audio, "comment": claim.sentence()}
    with (
        VideoWriter(drafts.video, driving.fps, video.size, **options) as writer,
        VideoWriter(drafts.side_by_side, driving.fps, (4 * size, size), **options) as comparison,
    ):
        owns = itertools.islice(video.source.crops(), len(video))
        streams = zip(driving.times.tolist(), owns, driving.frames(), video.landmarks, video, strict=True)
        for index, (time, own, driver, points, frame) in enumerate(streams):
            crop = frame if canvas is None else canvas.crop(frame, index, size)
            drawing, frame, crop = draw_landmarks(points, size), mark(frame), mark(crop)
            writer.write(frame, time)
            comparison.write(side_by_side(own, driver, drawing, crop), time)
            if index in chosen:
                for row, picture in zip(rows, (driver, drawing, crop)):
                    row.append(picture)
            if progress is not None:
                progress(index + 1, len(video))
    return rows


@contextlib.contextmanager
def _drafts(files: Exported) -> Iterator[tuple[Exported, Exported]]:
    """Names for drafts and for signed files, in a folder of their own beside `files`.

    The signed ones are moved to `files` when all went well; else nothing is left.
    """
    folder = Path(tempfile.mkdtemp(prefix=".adiff-", dir=files.video.parent))
    try:
        (folder / "signed").mkdir()
        drafts = Exported(*(folder / path.name for path in files))
        finished = Exported(*(folder / "signed" / path.name for path in files))
        yield drafts, finished
        for draft, path in zip(finished, files):
            draft.replace(path)
    finally:
        shutil.rmtree(folder)
