"""The comment field of a file: what anyone may write there, and anyone may remove."""

import contextlib
import os

import av
from PIL import Image, UnidentifiedImageError

from adiff_jax.media.files import existing_file
from adiff_jax.media.limits import input_options


def read_comment(path: str | os.PathLike) -> str | None:
    """The comment in the metadata of a video or a PNG; None if there is none, or the file is neither.

    Raises:
        MediaError: `path` does not exist, is a folder, or is empty.
    """
    path = existing_file(path, "picture or video")
    damage = (UnidentifiedImageError, OSError, SyntaxError, ValueError)
    with contextlib.suppress(*damage), Image.open(path, formats=["PNG"]) as image:
        return image.info.get("Comment")
    with contextlib.suppress(av.FFmpegError, OSError), av.open(str(path), options=input_options()) as container:
        return container.metadata.get("comment")
    return None
