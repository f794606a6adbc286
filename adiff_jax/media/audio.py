"""The sound of one file carried over to another: packets copied where MP4 holds the codec, else encoded to AAC."""

import logging
import os
from collections.abc import Iterator
from fractions import Fraction

import av

from adiff_jax.media.errors import MediaError
from adiff_jax.media.files import existing_file
from adiff_jax.media.limits import input_options

_log = logging.getLogger(__name__)

_MP4_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus"})
_AAC_RATE = 48_000  # samples a second
_AAC_FRAME = 1024  # samples
_RUN_UP = 2  # packets: a decoder needs the one before the start, which the file's edit list then hides


class AudioTrack:
    """Copies the first audio stream of `source` into `output`, a stretch at a time; a context manager.

    A source without sound gives a track that writes nothing. Damaged sound is left out from where the damage begins,
    with a warning: it is no reason to lose the video.

    Args:
        source: a media file.
        output: an MP4 container that is being written.

    Raises:
        MediaError: `source` cannot be read.
    """

    def __init__(self, source: str | os.PathLike, output: av.container.OutputContainer):
        self._path = existing_file(source, "video or sound file")
        self._output = output
        try:
            self._input = av.open(str(self._path), options=input_options())
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{self._path}: its sound cannot be read ({error.strerror})") from error
        self._source = next(iter(self._input.streams.audio), None)
        video = next(iter(self._input.streams.video), None)
        self._origin = Fraction(0)
        if video and video.start_time:
            self._origin = video.start_time * video.time_base
        self._copied = self._source is not None and self._source.codec_context.codec.canonical_name in _MP4_CODECS
        if self._copied:
            self._stream = output.add_stream_from_template(self._source)
        elif self._source:
            layout = "mono" if self._source.codec_context.channels == 1 else "stereo"
            self._stream = output.add_stream("aac", rate=_AAC_RATE, layout=layout)
            self._resampler = av.AudioResampler("fltp", layout, _AAC_RATE, frame_size=_AAC_FRAME)
        self._pieces = self._read()
        self._next = next(self._pieces, None)

    def __enter__(self) -> "AudioTrack":
        return self

    def __exit__(self, *error) -> None:
        self._input.close()

    def write(self, start: Fraction, end: Fraction) -> None:
        """Writes the sound up to `end` that is not written yet.

        Args:
            start: when the output begins, in seconds since the first video frame of the source; the same in every call.
            end: up to when, in seconds on the same clock.
        """
        while self._next is not None:
            piece = self._next
            shift = self._origin + start
            time = piece.pts * piece.time_base
            if time >= self._origin + end:
                return
            if time + _RUN_UP * _duration(piece) > shift:
                self._mux(piece, round(shift / piece.time_base))
            self._next = next(self._pieces, None)

    def finish(self) -> None:
        """Writes what the encoder still holds."""
        if self._source and not self._copied:
            self._output.mux(self._stream.encode(None))

    def _read(self) -> Iterator[av.Packet | av.AudioFrame]:
        """Packets to copy, or frames to encode."""
        if self._source is None:
            return
        try:
            for packet in self._input.demux(self._source):
                if not self._copied:
                    for frame in packet.decode():
                        yield from self._resampler.resample(frame)
                elif packet.pts is not None:
                    yield packet
            if not self._copied:
                yield from self._resampler.resample(None)
        except (av.FFmpegError, OSError) as error:
            _log.warning("%s: the sound is damaged and ends early (%s)", self._path, error.strerror)

    def _mux(self, piece: av.Packet | av.AudioFrame, ticks: int) -> None:
        piece.pts -= ticks
        if isinstance(piece, av.Packet):
            piece.dts -= ticks
            piece.stream = self._stream
            self._output.mux(piece)
        else:
            self._output.mux(self._stream.encode(piece))


def _duration(piece: av.Packet | av.AudioFrame) -> Fraction:
    if isinstance(piece, av.Packet):
        return (piece.duration or 0) * piece.time_base
    return Fraction(piece.samples, piece.sample_rate)
