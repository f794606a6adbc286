"""How large a picture or a video may be, checked before memory is taken for it; what is read, and what never is.

A file of a few kilobytes can ask for gigabytes of memory, and one that is named `.mp4` can be a list of addresses.
"""

import dataclasses

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM")  # not EPS: that runs a program
_VIDEO_FORMATS = ("mov", "mp4", "matroska", "webm", "avi", "mpegts", "mpeg", "flv", "ogg", "gif", "apng", "asf", "mxf")
_SOUND_FORMATS = ("wav", "mp3", "flac", "aac", "aiff")


@dataclasses.dataclass(frozen=True)
class Limits:
    """What is refused.

    Attributes:
        file_bytes: largest file; None for any.
        picture_pixels: most pixels of a picture.
        frame_pixels: most pixels of a frame of a video.
        seconds: longest video; None for any.
    """

    file_bytes: int | None
    picture_pixels: int
    frame_pixels: int
    seconds: float | None


LOCAL = Limits(file_bytes=None, picture_pixels=100_000_000, frame_pixels=8192 * 4320, seconds=None)
"""Of a user's own files: videos are streamed, so that only what is held at once counts."""

UPLOADS = Limits(file_bytes=200 * 10**6, picture_pixels=25_000_000, frame_pixels=4096 * 2304, seconds=120.0)
"""Of what strangers send to a server."""


def input_options(limits: Limits = LOCAL) -> dict[str, str]:
    """FFmpeg's options for opening a file: local, a video or sound, and no frames over the limit, even for probing."""
    return {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(_VIDEO_FORMATS + _SOUND_FORMATS),
        "max_pixels": str(limits.frame_pixels),
    }


def megapixels(pixels: int) -> str:
    """In words, for messages."""
    return f"{pixels / 1e6:.0f} megapixels"
