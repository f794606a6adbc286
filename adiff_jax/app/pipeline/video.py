"""What the pipeline makes: a video to be, sampled when its first frame is asked for."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Float32, UInt8

from adiff_jax.app.footage import Canvas
from adiff_jax.app.inputs import Driving, Source
from adiff_jax.app.motion_options import MotionOptions


class Origin(NamedTuple):
    """Something that a video is made from: its name, or the text itself, and the SHA-256 of a file."""

    name: str
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class GeneratedVideo:
    """A video to be: an iterable of frames, uint8 [R, R, 3], or [H, W, 3] with a canvas; the same at every pass.

    Attributes:
        action: what was done, as a participle: "reenacted", "animated", "edited".
        inputs: what it is made from, by role: "source", "driver", "text", "video", and "driver N" from frame N on.
        source: the person; of a text, a picture of the text.
        driving: the motion; of an edit, the video that is edited.
        landmarks: what the frames were asked to show, in [-1, 1] of the crop.
        bundle: name of the bundle.
        latents: the frames' latents in order, in parts; sampled as they are taken.
        decode: makes pictures of latents, a few at a time.
        digests: SHA-256 of the bundle and of its models, by name.
        motion: how the source follows the driver.
        canvas: what the generated crops are put back into.
    """

    action: str
    inputs: dict[str, Origin]
    source: Source
    driving: Driving
    landmarks: Float32[np.ndarray, "F 478 3"]
    bundle: str
    latents: Iterable[Float[Array | np.ndarray, "N h w c"]]
    decode: Callable[[Float[Array | np.ndarray, "N h w c"]], Iterator[UInt8[np.ndarray, "R R 3"]]]
    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    motion: MotionOptions = dataclasses.field(default_factory=MotionOptions)
    canvas: Canvas | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.landmarks)

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """Frames in order, sampled and decoded as they are taken."""
        crops = itertools.chain.from_iterable(self.decode(part) for part in self.latents)
        return iter(crops) if self.canvas is None else self.canvas.paste(crops)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frames, in pixels."""
        side = len(self.source.picture)
        return (side, side) if self.canvas is None else (self.canvas.footage.width, self.canvas.footage.height)


def follow(first: Driving, second: Driving) -> Driving:
    """One driver after the other, each in its own face crop and with its own sound."""
    later = second.times - second.times[0] + first.times[-1] + 1 / float(first.fps)
    begin = Fraction(float(later[0]))
    heard = (dataclasses.replace(sound, end=sound.end or begin) for sound in first.audio)
    then = (
        dataclasses.replace(sound, begin=begin + sound.begin, end=sound.end and begin + sound.end)
        for sound in second.audio
    )
    return Driving(
        name=f"{first.name}, {second.name}",
        points=np.concatenate([first.points, second.points]),
        neutral=first.neutral,
        times=np.concatenate([first.times, later]),
        fps=first.fps,
        audio=(*heard, *then),
        frames=lambda: itertools.chain(first.frames(), second.frames()),
        sha256=first.sha256,
    )
