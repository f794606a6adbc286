"""Inputs that no picture or clip at hand covers by itself; the rest is tested with the pipeline."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from adiff_jax.app.inputs import load_driving
from adiff_jax.media.landmarks import LandmarkDetector


def remux_later(source: Path, target: Path, seconds: int) -> None:
    """Copies picture and sound, every timestamp `seconds` later."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        streams = {stream.index: writer.add_stream_from_template(stream) for stream in reader.streams}
        for packet in reader.demux():
            if packet.dts is None:
                continue
            shift = round(Fraction(seconds) / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = streams[packet.stream.index]
            writer.mux(packet)


def test_times_count_from_the_first_frame_wherever_the_clock_starts(shared: Path, tmp_path: Path) -> None:
    clip, later = shared / "data/clips/d10.mp4", tmp_path / "later.mkv"
    remux_later(clip, later, seconds=5)
    detector = LandmarkDetector(shared / "models/face_landmarker.task")
    drivers = [load_driving(path, 32, lambda: detector, max_frames=6) for path in (clip, later)]
    assert [driver.times[0] for driver in drivers] == [0, 0]
    assert drivers[1].times == pytest.approx(drivers[0].times, abs=1e-3)  # Matroska's tick
