"""Video in and out: what is written is what is read, and bad files are said to be bad."""

import logging
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest

from adiff_jax.media.errors import MediaError
from adiff_jax.media.video import VideoWriter, read_video


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2))


def test_round_trip_keeps_pictures_times_and_rate(tmp_path, gradient):
    frames = gradient(30)
    with VideoWriter(tmp_path / "a.mp4", Fraction(30000, 1001), (96, 64), comment="made by a test") as writer:
        for image in frames:
            writer.write(image)
    with read_video(tmp_path / "a.mp4") as video:
        assert (video.fps, video.num_frames, video.width, video.height) == (Fraction(30000, 1001), 30, 96, 64)
        assert not video.has_audio
        assert video.duration == pytest.approx(30 * 1001 / 30000)
        read = list(video)
    assert [frame.time for frame in read] == pytest.approx([index * 1001 / 30000 for index in range(30)])
    # x264 at crf 16 with 4:2:0 chroma: over 40 dB on smooth pictures.
    assert psnr([frame.image for frame in read], frames) > 40
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.metadata["comment"] == "made by a test"


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 150, 120)])
def test_colours_survive(tmp_path, colour):
    image = np.full((48, 64, 3), colour, np.uint8)
    with VideoWriter(tmp_path / "a.mp4", 25, (64, 48)) as writer:
        writer.write(image)
    with read_video(tmp_path / "a.mp4") as video:
        read = next(iter(video)).image
    # 8-bit limited-range YUV resolves about 2 levels of RGB; a wrong matrix errs by 10 or more.
    assert abs(read.astype(int) - colour).max() <= 2


def test_output_is_tagged_as_what_it_is(tmp_path, gradient):
    with VideoWriter(tmp_path / "a.mp4", 25, (96, 64)) as writer:
        writer.write(gradient(1)[0])
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == "yuv420p"
        assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (1, 1, 1, 1)


def test_odd_sizes_are_padded_by_repeating_the_border(tmp_path):
    image = np.full((47, 65, 3), 90, np.uint8)
    with VideoWriter(tmp_path / "a.mp4", 25, (65, 47)) as writer:
        writer.write(image)
    with read_video(tmp_path / "a.mp4") as video:
        assert (video.width, video.height) == (66, 48)
        assert abs(next(iter(video)).image.astype(int) - 90).max() <= 2


def test_variable_frame_rate_is_kept(raw_video, tmp_path, gradient, rng):
    pts = np.cumsum(rng.integers(5, 200, 40)).tolist()
    path = raw_video(gradient(40), pts=pts)
    with read_video(path) as video, VideoWriter(tmp_path / "b.mp4", video.fps, (96, 64)) as writer:
        times = []
        for frame in video:
            times.append(frame.time)
            writer.write(frame.image, frame.time)
    assert times == pytest.approx([(value - pts[0]) / 1000 for value in pts])
    with read_video(tmp_path / "b.mp4") as video:
        # The writer's clock ticks at least 90,000 times a second.
        assert [frame.time for frame in video] == pytest.approx(times, abs=1 / 90_000)


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_metadata_is_applied(raw_video, gradient, rotation):
    upright = gradient(1)[0]
    stored = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
    with read_video(raw_video([stored], rotation=rotation)) as video:
        assert (video.height, video.width) == upright.shape[:2]
        assert psnr(next(iter(video)).image, upright) > 38


def test_pixels_that_are_not_square_are_stretched(raw_video, gradient):
    with read_video(raw_video(gradient(1), aspect=Fraction(4, 3))) as video:
        assert (video.width, video.height) == (128, 64)
        assert next(iter(video)).image.shape == (64, 128, 3)


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path):
    path = tmp_path / "a.ts"  # streams one after the other, as from a call whose connection got better
    for width, height in ((96, 64), (192, 128), (48, 32)):
        y, x = np.mgrid[:height, :width]
        image = np.stack([255 * x / width, 255 * y / height, 90 + 0 * x], axis=-1).astype(np.uint8)
        with av.open(str(tmp_path / "part.ts"), "w") as container:
            stream = container.add_stream("mpeg2video", rate=25, options={"qscale": "1"})
            stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 10**7
            for _ in range(10):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
        with path.open("ab") as file:
            file.write((tmp_path / "part.ts").read_bytes())
    with read_video(path) as video:
        assert (video.width, video.height) == (96, 64)
        frames = [frame.image for frame in video]
    assert len(frames) > 20  # of 30: the decoder drops one at each change
    # The same gradient, whose steps are 3 and 4 levels at the first size, and twice that at the last.
    assert max(abs(frame.astype(int) - frames[0]).mean() for frame in frames) < 2


@pytest.mark.parametrize(("transfer", "warnings"), [(16, 1), (18, 1), (1, 0), (None, 0)])
def test_hdr_is_said_once(raw_video, gradient, caplog, transfer, warnings):
    path = raw_video(gradient(2), transfer=transfer)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with read_video(path) as video:
                assert len(list(video)) == 2
    assert caplog.text.count("is HDR") == warnings


def test_memory_does_not_grow_with_the_video(raw_video, tmp_path):
    frames = [np.full((256, 256, 3), index, np.uint8) for index in range(120)]
    path = raw_video(frames)
    del frames
    tracemalloc.start()  # sees NumPy's arrays: 24 MB if all frames were kept
    with read_video(path) as video, VideoWriter(tmp_path / "b.mp4", video.fps, (256, 256)) as writer:
        for frame in video:
            writer.write(frame.image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6


def test_a_reader_is_read_once(raw_video, gradient):
    with read_video(raw_video(gradient(2))) as video:
        list(video)
        with pytest.raises(MediaError, match="open the video again"):
            list(video)


def test_a_video_that_ends_early_gives_what_there_is(raw_video, gradient, rng, caplog):
    noise = [rng.integers(0, 255, image.shape, dtype=np.uint8) for image in gradient(20)]
    path = raw_video(noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING), read_video(path) as video:
        count = len(list(video))
    assert 5 < count < 15
    assert f"{count} of 20 frames" in caplog.text


def test_frames_that_a_cut_hides_are_not_missing(raw_video, cut, gradient, caplog):
    path = cut(raw_video(gradient(30), gop=20), Fraction(13, 25), hide=True)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 30
    with caplog.at_level(logging.WARNING), read_video(path) as video:
        assert (video.num_frames, len(list(video)), video.missing) == (17, 17, 0)
    assert not caplog.text


def test_frames_that_an_end_hides_are_not_missing(raw_video, gradient, caplog):
    path = raw_video(gradient(50), gop=10)
    data = path.read_bytes()
    length = data.index(b"elst") + 12  # of what is shown, in milliseconds; frames far after it have no packet
    path.write_bytes(data[:length] + (800).to_bytes(4, "big") + data[length + 4 :])
    with caplog.at_level(logging.WARNING), read_video(path) as video:
        assert (video.num_frames, len(list(video)), video.missing) == (20, 20, 0)
    assert not caplog.text


def test_a_cut_that_is_truncated_too_misses_what_it_should_show(raw_video, cut, gradient, rng):
    noise = [rng.integers(0, 255, image.shape, dtype=np.uint8) for image in gradient(30)]
    path = cut(raw_video(noise, gop=20), Fraction(13, 25), hide=True)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    path.write_bytes(data[: len(data) * 3 // 4])
    with read_video(path) as video:
        count = len(list(video))
    assert 5 < count < 15
    assert video.missing == 17 - count


def test_damage_in_the_middle_is_an_error_that_says_where(raw_video, gradient, rng):
    noise = [rng.integers(0, 255, image.shape, dtype=np.uint8) for image in gradient(20)]
    path = raw_video(noise)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = rng.bytes(20_000)
    path.write_bytes(data)
    with read_video(path) as video, pytest.raises(MediaError, match=r"corrupt after frame \d+, 0\.\d\d s"):
        list(video)


def test_bad_paths_are_one_clear_line(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("This is not a video.\n" * 50)
    for name, message in {
        "none.mp4": "no such video",
        ".": "is a folder",
        "empty.mp4": "is empty",
        "text.mp4": "not a video that can be read",
    }.items():
        with pytest.raises(MediaError, match=message) as raised:
            read_video(tmp_path / name)
        assert "\n" not in str(raised.value)


def test_sound_alone_is_not_a_video(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError, match="there is no video"):
        read_video(tmp_path / "a.mp4")


def test_nothing_is_left_after_an_error(tmp_path, gradient):
    (tmp_path / "a.mp4").write_text("what was there before")
    with pytest.raises(ZeroDivisionError), VideoWriter(tmp_path / "a.mp4", 25, (96, 64)) as writer:
        writer.write(gradient(1)[0])
        raise ZeroDivisionError
    assert (tmp_path / "a.mp4").read_text() == "what was there before"
    assert len(list(tmp_path.iterdir())) == 1


def test_writer_refuses(tmp_path, gradient):
    image = gradient(1)[0]
    with pytest.raises(MediaError, match="no frame was written"), VideoWriter(tmp_path / "a.mp4", 25, (96, 64)):
        pass
    with pytest.raises(MediaError, match=r"ends in \.mp4"):
        VideoWriter(tmp_path / "a.avi", 25, (96, 64))
    with pytest.raises(MediaError, match="does not exist"):
        VideoWriter(tmp_path / "none" / "a.mp4", 25, (96, 64))
    with pytest.raises(ValueError, match="96x64"), VideoWriter(tmp_path / "a.mp4", 25, (96, 64)) as writer:
        writer.write(image[:32])
    with pytest.raises(ValueError, match="in order of time"), VideoWriter(tmp_path / "a.mp4", 25, (96, 64)) as writer:
        writer.write(image, 1.0)
        writer.write(image, 1.0)
    assert not list(tmp_path.iterdir())
