"""Video files as streams of frames: one frame in memory at a time, on the way in and on the way out.

Timestamps are honoured: every frame read carries its time, and a frame may be written with one, so that a driver of
variable frame rate gives a video with the same frames at the same times. Written video is H.264 in yuv420p with BT.709
colours, which every browser plays.
"""

import contextlib
import functools
import logging
import math
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from jaxtyping import UInt8

from adiff_jax.media.audio import AudioTrack, Sound
from adiff_jax.media.errors import MediaError
from adiff_jax.media.files import existing_file, write_aside
from adiff_jax.media.limits import LOCAL, Limits, input_options, megapixels

_log = logging.getLogger(__name__)

_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_HD_HEIGHT = 720
_BT709 = 1  # in each of FFmpeg's enumerations of colour properties
_HDR = (16, 18)  # PQ and HLG, in FFmpeg's enumeration of transfer functions
_NEAR = 5.0  # seconds that are decoded rather than jumped over
_FINEST_TICK = 90_000  # ticks a second, of MPEG's clock
_ACCURATE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


class Frame(NamedTuple):
    """One frame of a video.

    Attributes:
        image: RGB, upright.
        time: seconds since the first frame; strictly increasing over a video.
    """

    image: UInt8[np.ndarray, "H W 3"]
    time: float


class VideoReader:
    """The frames of a video, once, in order; a context manager that closes the file.

    Rotation metadata and non-square pixels are applied, and frames of another size than the first are scaled to it, so
    that all are upright and `width` x `height`. A frame whose timestamp is missing, or not later than the one before,
    is placed one frame period after it. HDR is read as if it were SDR, with a warning.

    Attributes:
        fps: average frames a second.
        num_frames: that are shown, as the file's header says or implies; None when it does not.
        width, height: size of the upright frames, in pixels.
        duration: seconds, as the header says; None when it does not.
        has_audio: whether there is sound.
        sound: what is heard, from the first frame on.
        missing: how many frames fewer could be read than the header says; known after the last one.
    """

    def __init__(self, path: str | os.PathLike, limits: Limits = LOCAL):
        self.path = existing_file(path, "video", limits.file_bytes)
        self._limits = limits
        with contextlib.ExitStack() as stack:
            try:
                self._container = stack.enter_context(av.open(str(self.path), options=input_options(limits)))
            except (av.FFmpegError, OSError) as error:
                raise MediaError(f"{self.path}: not a video that can be read ({_reason(error)})") from error
            if not self._container.streams.video:
                raise MediaError(f"{self.path}: there is no video in this file")
            self._stream = stream = self._container.streams.video[0]
            self._refuse_large(stream.width * stream.height)
            stream.codec_context.options = {"max_pixels": str(limits.frame_pixels)}  # of every frame: they may grow
            stream.thread_type = "AUTO"
            self.fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
            self.duration = _header_duration(self._container, stream)
            self._counted = _header_frames(self._container, stream)
            self.num_frames = self._counted or (round(self.duration * self.fps) if self.duration else None)
            self.has_audio = bool(self._container.streams.audio)
            self._refuse_long(self.duration or 0)
            self.missing = 0
            self._jumped = False
            self._reformatter = VideoReformatter()  # one for all frames: a new one costs as much as its work
            self._decoded = self._decode()
            self._first = next(self._decoded, None)
            if self._first is None:
                most = megapixels(limits.frame_pixels)
                raise MediaError(f"{self.path}: the video has no frame that can be decoded, of up to {most}")
            self._start = self._first.time or 0.0  # on the file's own clock
            origin = self._first.pts * self._first.time_base if self._first.pts else Fraction(0)
            self.sound = Sound(self.path, origin=origin)
            self._stored = self._squared(self._first)
            self.height, self.width = self._image(self._first).shape[:2]
            if self._first.color_trc in _HDR:
                _warn_of_hdr(self.path)
            self._stack = stack.pop_all()

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *error) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[Frame]:
        """Decodes the frames.

        A video that ends early gives the frames there are, and a warning.

        Raises:
            MediaError: frames in the middle are corrupt.
        """
        if self._first is None:
            raise MediaError(f"{self.path}: a reader gives its frames once; open the video again")
        frame, self._first = self._first, None
        count = 0
        period = 1 / float(self.fps)
        time = -period
        while frame is not None:
            count += 1
            stamped = None if frame.time is None else frame.time - self._start
            time = stamped if stamped is not None and stamped > time else time + period
            self._refuse_long(time)
            yield Frame(self._image(frame), time)
            frame = next(self._decoded, None)
        if self._counted and count < self._counted and not self._jumped:
            self.missing = self._counted - count
            _log.warning("%s ends early: %d of %d frames can be read", self.path, count, self._counted)

    def since(self, start: float) -> Iterator[Frame]:
        """The frames from `start` seconds on, in place of all; those before are jumped over where they are many."""
        if start > _NEAR and self._first is not None:
            self._container.seek(round((self._start + start) / self._stream.time_base), stream=self._stream)
            self._jumped = True
            self._decoded = self._decode()
            self._first = next(self._decoded, None)
            if self._first is None:  # `start` is after the end
                return
        yield from (frame for frame in self if frame.time >= start)

    def _refuse_large(self, pixels: int) -> None:
        most = self._limits.frame_pixels
        if pixels > most:
            raise MediaError(
                f"{self.path}: frames of {megapixels(pixels)}, and {megapixels(most)} are the most; shrink it"
            )

    def _refuse_long(self, seconds: float) -> None:
        most = self._limits.seconds
        if most is not None and seconds > most:
            raise MediaError(f"{self.path}: longer than {most:g} s, which is the most; cut it")

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Decoded frames. Damage between good frames is an error; before the first and after the last it is cut off."""
        count = 0
        damage = None
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except (av.FFmpegError, OSError) as error:
                damage = damage or _reason(error)
                continue
            for frame in frames:
                if frame.is_corrupt:
                    damage = damage or "damaged picture data"
                    continue
                if damage is not None and count:
                    where = "" if frame.time is None else f", {frame.time:.2f} s at the latest"
                    raise MediaError(
                        f"{self.path}: corrupt after frame {count}{where} ({damage}); cut it there, or encode it anew"
                    )
                damage = None
                count += 1
                yield frame

    def _squared(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Width and height before rotation, in square pixels."""
        return max(1, round(frame.width * (self._stream.sample_aspect_ratio or 1))), frame.height

    def _image(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "H W 3"]:
        unlabelled = Colorspace.ITU709 if frame.height >= _HD_HEIGHT else Colorspace.ITU601
        self._refuse_large(math.prod(self._squared(frame)))
        width, height = self._stored
        rgb = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="gbrp",  # planes: the same values as rgb24, three times as fast
            src_colorspace=unlabelled if frame.colorspace == _UNSPECIFIED else None,
            dst_color_range=ColorRange.JPEG,
            interpolation=_ACCURATE,
        )
        return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), round(frame.rotation / 90)))


def read_video(path: str | os.PathLike, limits: Limits = LOCAL) -> VideoReader:
    """Opens a video and reads its metadata.

    Raises:
        MediaError: `path` does not exist, is a folder, is not a video, has no frames, or is over the limits.
    """
    return VideoReader(path, limits)


class VideoWriter:
    """Writes a video frame by frame; a context manager. The file appears when all went well, else there is none.

    Args:
        path: where to; a name that ends in `.mp4`.
        fps: frames a second; sets the time of frames that are written without one.
        size: width and height of the frames, in pixels. An odd one is made even, as yuv420p needs, by repeating the
            last column or row.
        audio: sounds that are kept, over the time that the frames span; without any the video is silent.
        comment: goes into the file's metadata.
        crf: x264's constant rate factor, 0 (lossless) to 51.

    Raises:
        MediaError: `path` cannot be written, or a file of `audio` cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        fps: Fraction | float | int,
        size: tuple[int, int],
        *,
        audio: Sequence[Sound] = (),
        comment: str | None = None,
        crf: int = 16,
    ):
        if not str(path).lower().endswith(".mp4"):
            raise MediaError(f"{path}: video is written as MP4; give it a name that ends in .mp4")
        self._size = size
        self._fps = Fraction(fps).limit_denominator(100_000)
        self._tick = Fraction(1, self._fps.numerator * math.ceil(_FINEST_TICK / self._fps.numerator))
        self._reformatter = VideoReformatter()
        self._start: Fraction | None = None
        self._end = Fraction(0)
        self._pts = -1
        with contextlib.ExitStack() as stack:
            self._aside = stack.enter_context(write_aside(path))
            self._container = stack.enter_context(
                av.open(str(self._aside), "w", format="mp4", options={"movflags": "+faststart"})
            )
            if comment:
                self._container.metadata["comment"] = comment
            self._stream = self._add_video(crf)
            self._audio = stack.enter_context(AudioTrack(audio, self._container)) if audio else None
            stack.push(self._finish)
            self._stack = stack.pop_all()

    def _add_video(self, crf: int) -> av.VideoStream:
        stream = self._container.add_stream("libx264", rate=self._fps, options={"crf": str(crf), "preset": "medium"})
        stream.width, stream.height = (side + side % 2 for side in self._size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = self._tick
        context.color_range = ColorRange.MPEG
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        return stream

    def write(self, image: UInt8[np.ndarray, "H W 3"], time: float | None = None) -> None:
        """Appends one RGB frame.

        Args:
            image: the frame.
            time: in seconds on the clock of `audio`; None puts it one frame period after the one before.
                The first frame's time becomes the start of the video.

        Raises:
            ValueError: the frame has another size, or `time` is not after the frame before.
        """
        height, width = image.shape[:2]
        if (width, height) != self._size or image.dtype != np.uint8:
            expected = "x".join(map(str, self._size))
            raise ValueError(f"a uint8 frame of {expected} pixels expected, got {image.dtype} of {width}x{height}")
        period = 1 / self._fps
        time = self._end if time is None else Fraction(time)
        if self._start is None:
            self._start = time
        pts = round((time - self._start) / self._tick)
        if pts <= self._pts:
            raise ValueError(
                f"frames must be written in order of time, but {float(time)} s is not after the last frame"
            )
        self._pts = pts
        self._end = time + period
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(even, format="rgb24"),
            format="yuv420p",
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=_ACCURATE,
        )
        frame.time_base = self._tick
        frame.pts = pts
        frame.duration = round(period / self._tick)
        self._container.mux(self._stream.encode(frame))
        if self._audio:
            self._audio.write(self._start, self._end)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *error) -> None:
        self._stack.__exit__(*error)

    def _finish(self, kind: type | None, *_) -> None:
        """Runs first of all that happens at the exit; an error here removes the file, like one in the body."""
        if kind is not None:
            return
        if self._start is None:
            raise MediaError("no frame was written, so there is no video")
        self._container.mux(self._stream.encode(None))
        if self._audio:
            self._audio.finish()


@functools.lru_cache  # once per file: each is opened several times
def _warn_of_hdr(path: Path) -> None:
    _log.warning(
        "%s is HDR, which is read as if it were SDR: its colours will be dull; convert it first, with "
        "ffmpeg -i IN -vf zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable,"
        "zscale=t=bt709:m=bt709:r=tv,format=yuv420p OUT",
        path,
    )


def _header_frames(container: av.container.InputContainer, stream: av.VideoStream) -> int:
    """How many frames are shown, 0 if unknown: MP4 may store more, and hide them with an edit list."""
    if "mp4" not in container.format.name.split(","):
        return stream.frames
    return min(stream.frames, sum(not entry.is_discard for entry in stream.index_entries))


def _header_duration(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
