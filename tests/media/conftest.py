"""Random faces with a plausible topology, and videos written on the fly."""

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from adiff_jax.media import topology
from adiff_jax.media.landmarks import FaceLandmarks, LandmarkDetector
from adiff_jax.media.video import read_video


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def face(rng: np.random.Generator) -> np.ndarray:
    """A cloud of 478 points with eyes and lips where they belong, about 2 units wide."""
    points = rng.uniform(-1, 1, (478, 3)) * [1, 1.3, 0.5]
    for eye, x in zip(topology.EYES, (-0.45, 0.45), strict=True):
        outward = np.sign(x)
        points[list(eye.corners)] = [[x + 0.2 * outward, -0.4, 0], [x - 0.2 * outward, -0.4, 0]]
        along = x + outward * np.linspace(0.15, -0.15, 7)
        points[list(eye.upper)] = np.stack([along, np.full(7, -0.48), np.zeros(7)], axis=-1)
        points[list(eye.lower)] = np.stack([along, np.full(7, -0.34), np.zeros(7)], axis=-1)
        points[list(eye.iris)] = [x, -0.41, 0] + 0.06 * np.array(
            [[0, 0, 0], [1, 0, 0], [0, -1, 0], [-1, 0, 0], [0, 1, 0]]
        )
    points[list(topology.MOUTH_CORNERS)] = [[-0.35, 0.6, 0], [0.35, 0.6, 0]]
    across = np.linspace(-0.3, 0.3, 9)
    for sign, rings in ((-1, topology.UPPER_LIP), (1, topology.LOWER_LIP)):
        for ring, indices in enumerate(rings):
            height = np.full(9, 0.6 + sign * (0.005 + 0.03 * ring))
            points[list(indices)] = np.stack([across, height, np.zeros(9)], axis=-1)
    return points


@pytest.fixture
def raw_video(tmp_path: Path) -> Callable[..., Path]:
    """Writes a video with PyAV alone, so that reading is tested without our writer."""

    def write(
        frames: list[np.ndarray],
        name: str = "raw.mp4",
        *,
        pts: list[int] | None = None,
        rotation: int = 0,
        tone: str | None = None,
        aspect: Fraction | None = None,
        gop: int = 250,
        transfer: int | None = None,
    ) -> Path:
        """At 25 frames a second, `pts` in milliseconds; with `tone`, an audio codec, as much sound as video.

        One frame in `gop` is a key frame; `transfer` is FFmpeg's number of a transfer function.
        """
        path = tmp_path / name
        with av.open(str(path), "w", options={"movflags": "faststart"} if name.endswith("mp4") else {}) as container:
            video = container.add_stream("libx264", rate=25, options={"crf": "1", "preset": "ultrafast", "g": str(gop)})
            video.height, video.width = frames[0].shape[:2]
            video.pix_fmt = "yuv444p"
            video.codec_context.time_base = Fraction(1, 1000)
            if transfer:
                video.codec_context.color_trc = transfer
            if aspect:
                video.codec_context.sample_aspect_ratio = aspect
            if rotation:
                video.set_display_rotation(rotation)
            audio = container.add_stream(tone, rate=48000, layout="mono") if tone else None
            for index, image in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.time_base = Fraction(1, 1000)
                frame.pts = pts[index] if pts else 40 * index
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
            if audio:
                time = np.arange(48000 * len(frames) // 25) / 48000
                wave = (8000 * np.sin(2 * np.pi * 440 * time) * (time > 0.5)).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
                frame.sample_rate, frame.pts = 48000, 0
                container.mux(audio.encode(frame))
                container.mux(audio.encode(None))
        return path

    return write


@pytest.fixture
def cut(tmp_path: Path) -> Callable[..., Path]:
    """Cuts a file at any frame without encoding it anew."""

    def copy(path: Path, start: Fraction, *, hide: bool) -> Path:
        """From `start` seconds on; `hide` keeps what is before, with an MP4's edit list that says not to show it."""
        shorter = path.with_stem("cut")
        with (
            av.open(str(path)) as container,
            av.open(str(shorter), "w", options={"movflags": "faststart"} if hide else {}) as output,
        ):
            streams = {stream.index: output.add_stream_from_template(stream) for stream in container.streams}
            for packet in container.demux():
                if packet.pts is None or (not hide and packet.pts * packet.time_base < start):
                    continue
                if hide:
                    ticks = round(start / packet.time_base)
                    packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
        return shorter

    return copy


@pytest.fixture
def gradient() -> Callable[[int], list[np.ndarray]]:
    """Smooth moving pictures of 96 x 64 pixels, no two alike."""

    def make(count: int) -> list[np.ndarray]:
        y, x = np.mgrid[:64, :96]
        return [
            np.stack([x * 2 + index, y * 3, np.full_like(x, 40) + 2 * index], axis=-1).clip(0, 255).astype(np.uint8)
            for index in range(count)
        ]

    return make


@pytest.fixture(scope="session")
def first_frame(shared: Path) -> np.ndarray:
    """One real frame with one face."""
    with read_video(shared / "data" / "clips" / "d10.mp4") as video:
        return next(iter(video)).image


@pytest.fixture(scope="session")
def track(shared: Path) -> FaceLandmarks:
    """Landmarks of a second of a real clip."""
    detector = LandmarkDetector(shared / "models" / "face_landmarker.task")
    with read_video(shared / "data" / "clips" / "d10.mp4") as video:
        return detector.video(itertools.islice(video, 24))
