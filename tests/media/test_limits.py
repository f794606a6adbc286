"""Files that ask for more than they are worth are refused by their headers, before memory is taken for them."""

import dataclasses
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from adiff_jax.media.audio import AudioTrack, Sound
from adiff_jax.media.errors import MediaError
from adiff_jax.media.limits import LOCAL, UPLOADS, Limits
from adiff_jax.media.pictures import is_picture, read_picture
from adiff_jax.media.video import read_video

SMALL = Limits(file_bytes=10**6, picture_pixels=10_000, frame_pixels=10_000, seconds=1.0)


def png_header(path: Path, width: int, height: int) -> Path:
    """A few bytes that promise a picture of any size."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    parts = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (chunk, data)]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


@pytest.mark.parametrize("limits", [LOCAL, UPLOADS])
@pytest.mark.parametrize("size", [(30_000, 30_000), (100_000, 1_100), (12_000, 10_000)])
def test_a_huge_picture(tmp_path: Path, size: tuple[int, int], limits: Limits) -> None:
    path = png_header(tmp_path / "a.png", *size)
    tracemalloc.start()
    with pytest.raises(MediaError, match="megapixels") as raised:
        read_picture(path, limits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(raised.value)
    assert peak < 10**6


def test_pictures_within_the_limits_pass(tmp_path: Path) -> None:
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", SMALL).shape == (100, 100, 3)
    with pytest.raises(MediaError, match="101x100"):
        Image.new("RGB", (101, 100)).save(tmp_path / "a.png")
        read_picture(tmp_path / "a.png", SMALL)


def test_what_would_run_a_program_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    with pytest.raises(MediaError, match="not a picture"):
        read_picture(tmp_path / "a.png")


def large_frames(path: Path, width: int, height: int) -> Path:
    """A small file with frames of one colour."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for index in range(2):
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


PROBE = """
import resource, sys
from adiff_jax.media.errors import MediaError
from adiff_jax.media.video import read_video
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_video(sys.argv[1])
except MediaError as error:
    print(error, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, sep="|")
"""


def test_a_small_file_with_huge_frames_takes_no_memory(tmp_path: Path) -> None:
    path = large_frames(tmp_path / "a.mp4", 8000, 6000)
    assert path.stat().st_size < 10**6
    result = subprocess.run([sys.executable, "-c", PROBE, str(path)], capture_output=True, text=True, check=True)
    message, megabytes = result.stdout.split("|")
    assert "35 megapixels" in message
    assert int(megabytes) < 60  # one frame would be 72 MB as it is decoded, 144 MB as RGB


def test_frames_that_grow_later_are_refused_too(tmp_path: Path, raw_video, gradient) -> None:
    """Two elementary streams one after the other: the header shows the first one's size only."""
    path = tmp_path / "grows.ts"
    for width, height in ((96, 64), (960, 640)):
        with av.open(str(tmp_path / "part.ts"), "w") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for index in range(60):
                frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), index, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with path.open("ab") as file:
            file.write((tmp_path / "part.ts").read_bytes())
    sizes = []
    with pytest.raises(MediaError), read_video(path, SMALL) as video:
        sizes += [frame.image.shape[:2] for frame in video]
    assert set(sizes) <= {(64, 96)}


def test_long_videos(raw_video, gradient) -> None:
    with read_video(raw_video(gradient(25)), SMALL) as video:
        assert sum(1 for _ in video) == 25
    with pytest.raises(MediaError, match="longer than 1 s"), read_video(raw_video(gradient(30)), SMALL):
        pass


def test_a_length_that_the_header_hides(raw_video, gradient) -> None:
    path = raw_video(gradient(40), "a.mkv")
    data = path.read_bytes()
    duration = data.index(bytes.fromhex("4489"))  # Matroska's Duration, a double
    path.write_bytes(data[: duration + 3] + struct.pack(">d", 100.0) + data[duration + 11 :])
    with read_video(path, SMALL) as video, pytest.raises(MediaError, match="longer than 1 s"):
        list(video)


def test_large_files(tmp_path: Path) -> None:
    """Two gigabytes, none of which is on disk or read."""
    for read, kind in ((read_picture, "picture"), (read_video, "video")):
        with (tmp_path / "big").open("wb") as file:
            os.truncate(file.fileno(), 2 * 10**9)
        with pytest.raises(MediaError, match=f"a {kind} of 2000 MB, and 200 MB is the most"):
            read(tmp_path / "big", UPLOADS)


@pytest.mark.parametrize(
    "text",
    [
        "just words\n" * 100,
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile /etc/hostname\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
    ids=["words", "playlist", "list of files", "session"],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8", "a.ffconcat", "a.sdp"])
def test_text_is_no_video_and_opens_nothing_else(tmp_path: Path, text: str, name: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(MediaError, match="not a video that can be read"):
        read_video(path)
    with av.open(str(tmp_path / "out.mp4"), "w") as output, pytest.raises(MediaError, match="sound cannot be read"):
        AudioTrack([Sound(path)], output)


def test_a_picture_is_no_video(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.jpg")
    with pytest.raises(MediaError, match="not a video"):
        read_video(tmp_path / "a.jpg")


def test_uploads_are_held_shorter_than_ones_own_files() -> None:
    local, uploads = dataclasses.astuple(LOCAL), dataclasses.astuple(UPLOADS)
    assert all(limit is None or limit > other for limit, other in zip(local, uploads))


def test_pictures_are_known_by_what_is_in_them(tmp_path: Path, raw_video, gradient) -> None:
    assert is_picture(png_header(tmp_path / "huge.mp4", 30_000, 30_000))
    Image.new("RGB", (8, 8)).save(tmp_path / "a", format="WEBP")
    assert is_picture(tmp_path / "a")
    assert not is_picture(raw_video(gradient(1)))
    (tmp_path / "a.png").write_text("words")
    assert not is_picture(tmp_path / "a.png")
