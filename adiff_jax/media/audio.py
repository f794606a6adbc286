"""Sound carried over from files to a video: packets copied where MP4 holds the codec, else encoded to AAC."""

import contextlib
import dataclasses
import itertools
import logging
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float32

from adiff_jax.media.errors import MediaError
from adiff_jax.media.files import existing_file
from adiff_jax.media.limits import input_options

_log = logging.getLogger(__name__)

_MP4_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus"})
_AAC_RATE = 48_000  # samples a second
_AAC_FRAME = 1024  # samples
_ROUNDING = _AAC_RATE // 50  # samples: time stamps of some containers are rounded, and closer ones are no gap
_RUN_UP = 2  # packets: a decoder needs the one before the start, which the file's edit list then hides

Wave = Float32[np.ndarray, "channels samples"]


@dataclasses.dataclass(frozen=True)
class Sound:
    """What is heard of a file, on a clock of its own.

    Attributes:
        path: a media file; one without sound is silent.
        begin: when its first video frame is shown, in seconds.
        end: from when on it is not heard, in seconds; None is its own end.
        origin: that first frame's time on the file's own clock, in seconds; see `VideoReader.sound`.
    """

    path: Path
    begin: Fraction = Fraction(0)
    end: Fraction | None = None
    origin: Fraction = Fraction(0)


class AudioTrack:
    """Puts sounds one after the other into `output`, a stretch at a time; a context manager.

    Of each file it is the first stream. The sound of one file alone is copied if MP4 holds its codec; else AAC is made,
    with silence between the sounds. Where none has sound, nothing is written. Damaged sound is left out from where the
    damage begins, with a warning: it is no reason to lose the video.

    Args:
        sounds: in order of time.
        output: an MP4 container that is being written.

    Raises:
        MediaError: a file cannot be read.
    """

    def __init__(self, sounds: Sequence[Sound], output: av.container.OutputContainer):
        self._output = output
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(_File(sound)) for sound in sounds]
            self._stack = stack.pop_all()
        files = [file for file in files if file.stream]
        alone = len(files) == 1 and files[0].sound.begin == 0 and files[0].sound.end is None
        self._copied = alone and files[0].stream.codec_context.codec.canonical_name in _MP4_CODECS
        self._stream = None
        pieces: Iterator[av.Packet | av.AudioFrame] = iter(())
        if self._copied:
            self._stream = output.add_stream_from_template(files[0].stream)
            pieces = files[0].packets()
        elif files:
            mono = all(file.stream.codec_context.channels == 1 for file in files)
            layout = "mono" if mono else "stereo"
            self._stream = output.add_stream("aac", rate=_AAC_RATE, layout=layout)
            pieces = _frames(files, layout)
        self._pieces = pieces
        self._next = next(self._pieces, None)

    def __enter__(self) -> "AudioTrack":
        return self

    def __exit__(self, *error) -> None:
        self._stack.close()

    def write(self, start: Fraction, end: Fraction) -> None:
        """Writes the sound up to `end` that is not written yet.

        Args:
            start: when the output begins, in seconds on the clock of the sounds; the same in every call.
            end: up to when, in seconds on the same clock.
        """
        while self._next is not None:
            piece = self._next
            time = piece.pts * piece.time_base
            if time >= end:
                return
            if time + _RUN_UP * _duration(piece) > start:
                self._mux(piece, round(start / piece.time_base))
            self._next = next(self._pieces, None)

    def finish(self) -> None:
        """Writes what the encoder still holds."""
        if self._stream is not None and not self._copied:
            self._output.mux(self._stream.encode(None))

    def _mux(self, piece: av.Packet | av.AudioFrame, ticks: int) -> None:
        piece.pts -= ticks
        if isinstance(piece, av.Packet):
            piece.dts -= ticks
            piece.stream = self._stream
            self._output.mux(piece)
        else:
            self._output.mux(self._stream.encode(piece))


class _File:
    """The sound of one file, with times from its first video frame on; a context manager."""

    def __init__(self, sound: Sound):
        self.sound = sound
        self.path = existing_file(sound.path, "video or sound file")
        try:
            self._input = av.open(str(self.path), options=input_options())
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{self.path}: its sound cannot be read ({error.strerror})") from error
        self.stream = next(iter(self._input.streams.audio), None)

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *error) -> None:
        self._input.close()

    def packets(self) -> Iterator[av.Packet]:
        """As they are, but for those that go back in time, which MP4 does not hold."""
        last = -math.inf
        with self._to_the_damage():
            for packet in self._input.demux(self.stream):
                if packet.pts is not None and packet.pts > last:
                    last = packet.pts
                    ticks = round(self.sound.origin / packet.time_base)
                    packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
                    yield packet

    def waves(self, layout: str) -> Iterator[tuple[int, Wave]]:
        """What is heard of it, with the sample of the common clock that each wave begins at."""
        first = round(self.sound.begin * _AAC_RATE)
        last = math.inf if self.sound.end is None else round(self.sound.end * _AAC_RATE)
        end = -math.inf
        with self._to_the_damage():
            for frame in self._resampled(layout):
                at = first + round((frame.pts * frame.time_base - self.sound.origin) * _AAC_RATE)
                at = end if abs(at - end) < _ROUNDING else at
                wave = frame.to_ndarray()
                end = at + wave.shape[1]
                heard = slice(max(0, first - at), min(wave.shape[1], last - at))
                if at >= last:
                    return
                if heard.start < heard.stop:
                    yield at + heard.start, wave[:, heard]

    def _resampled(self, layout: str) -> Iterator[av.AudioFrame]:
        """Its frames as the encoder takes them; the channels and the rate may change on the way."""
        frames = (frame for packet in self._input.demux(self.stream) for frame in packet.decode())
        for _, alike in itertools.groupby(frames, lambda frame: (frame.format.name, frame.layout, frame.sample_rate)):
            resampler = av.AudioResampler("fltp", layout, _AAC_RATE)
            for frame in itertools.chain(alike, [None]):  # None has it give out what it holds
                yield from resampler.resample(frame)

    @contextlib.contextmanager
    def _to_the_damage(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            _log.warning("%s: the sound is damaged and ends early (%s)", self.path, error.strerror)


def _frames(files: Sequence[_File], layout: str) -> Iterator[av.AudioFrame]:
    """Frames for the encoder, all as long as it takes them but the last."""
    at, held = 0, np.zeros((1 if layout == "mono" else 2, 0), np.float32)
    for begin, wave in _gapless(piece for file in files for piece in file.waves(layout)):
        at = at if held.size else begin
        held = np.concatenate([held, wave], axis=1)
        while held.shape[1] >= _AAC_FRAME:
            yield _frame(held[:, :_AAC_FRAME], at, layout)
            at, held = at + _AAC_FRAME, held[:, _AAC_FRAME:]
    if held.size:
        yield _frame(held, at, layout)


def _gapless(waves: Iterator[tuple[int, Wave]]) -> Iterator[tuple[int, Wave]]:
    """The waves with silence between them; where two overlap, the later one loses its beginning."""
    end = None
    for at, wave in waves:
        end = at if end is None else end
        for quiet in range(end, at, _AAC_FRAME):
            yield quiet, np.zeros((len(wave), min(_AAC_FRAME, at - quiet)), np.float32)
        end = max(end, at)
        yield end, wave[:, end - at :]
        end = max(end, at + wave.shape[1])


def _frame(wave: Wave, at: int, layout: str) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave), format="fltp", layout=layout)
    frame.sample_rate = _AAC_RATE
    frame.time_base = Fraction(1, _AAC_RATE)
    frame.pts = at
    return frame


def _duration(piece: av.Packet | av.AudioFrame) -> Fraction:
    if isinstance(piece, av.Packet):
        return (piece.duration or 0) * piece.time_base
    return Fraction(piece.samples, piece.sample_rate)
