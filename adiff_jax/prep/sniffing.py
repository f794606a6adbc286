"""Files whose names say one thing and whose first bytes another."""

from pathlib import Path

from adiff_jax.prep.items import VIDEO_SUFFIXES
from adiff_jax.prep.outcome import ClipRejected

HEAD = 16  # bytes that are looked at


def kind_of(head: bytes) -> str:
    """`video`, `picture`, `archive` or `text` by the first bytes of a file; empty if they tell nothing."""
    if head[4:8] == b"ftyp":
        return "picture" if head[8:12] in (b"heic", b"heix", b"mif1", b"avif") else "video"
    if head.startswith(b"\x1a\x45\xdf\xa3") or (head.startswith(b"RIFF") and head[8:12] == b"AVI "):
        return "video"
    if head.startswith((b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"FLV\x01", b"\x30\x26\xb2\x75")):
        return "video"
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")) or head[8:12] == b"WEBP":
        return "picture"
    if head.startswith((b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!")):
        return "archive"
    if head.lstrip().startswith((b"<!DOCTYPE", b"<html", b"{")):
        return "text"
    return ""


def check_content(path: Path) -> None:
    """Raises `ClipRejected` if a file named as a video is something else."""
    with path.open("rb") as file:
        kind = kind_of(file.read(HEAD))
    if kind not in ("", "video"):
        article = "an" if kind == "archive" else "a"
        raise ClipRejected("wrong extension", f"{path.name} is {article} {kind}, not a video")


def check_name(name: str, head: bytes) -> None:
    """Raises `ClipRejected` if a file that is not named as a video is one."""
    if kind_of(head) == "video":
        known = ", ".join(sorted(VIDEO_SUFFIXES))
        raise ClipRejected("wrong extension", f"{name} is a video by its content: give it one of the endings {known}")
