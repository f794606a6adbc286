"""What the pipeline makes: a video to be, sampled when its first frame is asked for."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from jaxtyping import Array, Float, Float32, UInt8

from adiff_jax.app.inputs import Driving, Source


@dataclasses.dataclass(frozen=True)
class GeneratedVideo:
    """A video to be: an iterable of frames, uint8 [R, R, 3], the same at every pass.

    Attributes:
        action: what was done, as a participle: "reenacted", "animated", "edited".
        inputs: what it is made from, by role: "source", "driver", "text", "video".
        source: the person; of a text, a picture of the text.
        driving: the motion; of an edit, the video that is edited.
        landmarks: what the frames were asked to show, in [-1, 1] of the crop.
        bundle: name of the bundle.
        latents: the frames' latents in order, in parts; sampled as they are taken.
        decode: makes pictures of latents, a few at a time.
        digests: SHA-256 of the bundle and of its models, by name.
    """

    action: str
    inputs: dict[str, str]
    source: Source
    driving: Driving
    landmarks: Float32[np.ndarray, "F 478 3"]
    bundle: str
    latents: Iterable[Float[Array | np.ndarray, "N h w c"]]
    decode: Callable[[Float[Array | np.ndarray, "N h w c"]], Iterator[UInt8[np.ndarray, "R R 3"]]]
    digests: dict[str, str] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.landmarks)

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "R R 3"]]:
        """Frames in order, sampled and decoded as they are taken."""
        for part in self.latents:
            yield from self.decode(part)
