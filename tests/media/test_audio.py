"""The driver's sound stays, in step with the pictures and no longer than they."""

from fractions import Fraction

import av
import numpy as np
import pytest

from adiff_jax.media.audio import Sound
from adiff_jax.media.errors import MediaError
from adiff_jax.media.video import VideoWriter, read_video


def sound(path):
    """The first channel as floats, from the time 0 of the file's clock, and the codec's name."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None, None
        stream = container.streams.audio[0]
        wave = np.zeros(0)
        for frame in container.decode(stream):
            start = round(frame.time * stream.rate)
            wave = np.concatenate([wave[:start], np.zeros(max(0, start - len(wave))), frame.to_ndarray()[0]])
        return wave, stream.codec_context.name


def sine(path, codec, layout="mono", start=0):
    """Writes a second of 440 Hz at 44.1 kHz; `start` in seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44100, layout=layout)
        wave = (16000 * np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)).astype(np.int16)
        wave = np.repeat(wave, stream.codec_context.channels)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout=layout)
        frame.sample_rate, frame.pts = 44100, 44100 * start
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def snr(wave):
    """In dB, of what is nearest to it among sines of 440 Hz."""
    angle = 2 * np.pi * 440 * np.arange(len(wave)) / 48000
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    signal = basis @ np.linalg.lstsq(basis, wave)[0]
    return 10 * np.log10(np.sum(signal**2) / np.sum((wave - signal) ** 2))


def onset(wave):
    return np.flatnonzero(abs(wave) > 0.05)[0] / 48000


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "pcm_s16le"), ("a.mp4", "libmp3lame")])
def test_sound_is_kept_in_step_and_trimmed(raw_video, tmp_path, gradient, name, codec):
    driver = raw_video(gradient(50), name, tone=codec)  # silent for 0.5 s, then 440 Hz up to 2 s
    with VideoWriter(tmp_path / "b.mp4", 25, (96, 64), audio=[Sound(driver)]) as writer:
        for image in gradient(25):
            writer.write(image)
    wave, kept = sound(tmp_path / "b.mp4")
    assert kept == ("mp3float" if codec == "libmp3lame" else "aac")
    assert len(wave) / 48000 == pytest.approx(1, abs=0.06)  # to one packet and the encoder's delay
    assert onset(wave) == pytest.approx(0.5, abs=0.03)


def test_sound_follows_the_times_of_the_frames(raw_video, tmp_path, gradient):
    driver = raw_video(gradient(50), tone="aac")
    with read_video(driver) as video, VideoWriter(tmp_path / "b.mp4", 25, (96, 64), audio=[Sound(driver)]) as writer:
        for frame in video:
            if 0.2 <= frame.time < 1:
                writer.write(frame.image, frame.time)
    wave, _ = sound(tmp_path / "b.mp4")
    assert onset(wave) == pytest.approx(0.3, abs=0.03)


def test_copying_does_not_encode_anew(raw_video, tmp_path, gradient):
    driver = raw_video(gradient(25), tone="aac")
    with VideoWriter(tmp_path / "b.mp4", 25, (96, 64), audio=[Sound(driver)]) as writer:
        for image in gradient(25):
            writer.write(image)
    packets = []
    for path in (driver, tmp_path / "b.mp4"):
        with av.open(str(path)) as container:
            packets.append([bytes(packet) for packet in container.demux(audio=0) if packet.size])
    assert packets[1] == packets[0][: len(packets[1])]
    assert len(packets[1]) >= len(packets[0]) - 2


def test_a_driver_without_sound_gives_a_silent_video(raw_video, tmp_path, gradient):
    driver = raw_video(gradient(5))
    with VideoWriter(tmp_path / "b.mp4", 25, (96, 64), audio=[Sound(driver)]) as writer:
        writer.write(gradient(1)[0])
    assert sound(tmp_path / "b.mp4") == (None, None)


def test_a_missing_driver_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(MediaError, match="no such"):
        VideoWriter(tmp_path / "b.mp4", 25, (96, 64), audio=[Sound(tmp_path / "none.mp4")])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("codecs", [("aac", "aac"), ("pcm_s16le", "libmp3lame")])
def test_sounds_follow_one_another(raw_video, tmp_path, gradient, codecs):
    # Each silent for 0.5 s, then 440 Hz: heard to 1 s, nothing to 1.4 s, and again from 1.4 s on.
    first, second = (raw_video(gradient(50), f"{index}.mkv", tone=codec) for index, codec in enumerate(codecs))
    sounds = [Sound(first, end=Fraction(1)), Sound(second, begin=Fraction(7, 5))]
    with VideoWriter(tmp_path / "c.mp4", 25, (96, 64), audio=sounds) as writer:
        for image in gradient(75):
            writer.write(image)
    wave, kept = sound(tmp_path / "c.mp4")
    assert kept == "aac"
    assert len(wave) / 48000 == pytest.approx(3, abs=0.06)
    loud = np.sqrt(np.convolve(np.square(wave), np.ones(480) / 480, "same")) > 0.02
    changes = np.flatnonzero(np.diff(loud)) / 48000
    assert changes[:3] == pytest.approx([0.5, 1, 1.9], abs=0.03)


def test_a_silent_file_among_sounds_is_a_pause(raw_video, tmp_path, gradient):
    quiet, loud = raw_video(gradient(25), "quiet.mp4"), raw_video(gradient(50), "loud.mp4", tone="aac")
    sounds = [Sound(quiet, end=Fraction(1)), Sound(loud, begin=Fraction(1))]
    with VideoWriter(tmp_path / "c.mp4", 25, (96, 64), audio=sounds) as writer:
        for image in gradient(60):
            writer.write(image)
    assert onset(sound(tmp_path / "c.mp4")[0]) == pytest.approx(1.5, abs=0.03)


def test_time_stamps_in_whole_milliseconds_do_not_crackle(tmp_path, gradient):
    driver = sine(tmp_path / "a.mkv", "flac")  # a packet is 104.49 ms, which Matroska rounds
    with VideoWriter(tmp_path / "b.mp4", 25, (96, 64), audio=[Sound(driver)]) as writer:
        for image in gradient(25):
            writer.write(image)
    wave, _ = sound(tmp_path / "b.mp4")
    # AAC alone leaves 33 dB; samples that are cut or put in at the borders of packets leave 1 dB.
    assert snr(wave[4800:-4800]) > 25


@pytest.mark.parametrize(("name", "tone"), [("a.ts", "aac"), ("a.mkv", "aac"), ("a.mkv", "flac")])
def test_sound_is_in_step_with_the_first_frame_that_can_be_decoded(raw_video, cut, tmp_path, gradient, name, tone):
    # Cut at 0.4 s, of which nothing is seen up to the key frame at 0.48 s; heard from 0.5 s on.
    driver = cut(raw_video(gradient(50), name, tone=tone, gop=12), Fraction(2, 5), hide=False)
    with read_video(driver) as video, VideoWriter(tmp_path / "b.mp4", 25, (96, 64), audio=[video.sound]) as writer:
        frames = list(video)
        for frame in frames:
            writer.write(frame.image, frame.time)
    assert (len(frames), frames[0].time) == (38, 0)
    wave, _ = sound(tmp_path / "b.mp4")
    assert onset(wave) == pytest.approx(0.02, abs=0.01)


def joined(folder, *layouts):
    """Seconds of 440 Hz in one MPEG-TS; each begins before the last packet of the one before ends."""
    parts = [sine(folder / f"{start}.ts", "mp2", layout, start) for start, layout in enumerate(layouts)]
    path = folder / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize(
    ("layouts", "end"), [(("mono", "stereo"), Fraction(2)), (("stereo", "mono"), Fraction(2)), (("mono", "mono"), None)]
)
def test_channels_and_times_may_jump_on_the_way(tmp_path, gradient, layouts, end):
    path = joined(tmp_path, *layouts)  # with an end it is encoded anew, else copied
    with VideoWriter(tmp_path / "b.mp4", 25, (96, 64), audio=[Sound(path, end=end)]) as writer:
        for image in gradient(50):
            writer.write(image)
    wave, kept = sound(tmp_path / "b.mp4")
    assert kept == ("aac" if end else "mp3float")
    loudness = [np.abs(part).max() for part in np.array_split(wave[2400:84000], 40)]
    assert min(loudness) > 0.3  # of a sine of 0.49
