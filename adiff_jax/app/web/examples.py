"""Examples that need no file and no network: drawn people and a drawn driver, recognised when they come back."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from adiff_jax.app.inputs import SYNTHETIC_FPS, synthetic_source
from adiff_jax.data.source import sha256
from adiff_jax.data.synthetic import render_clip
from adiff_jax.media.pictures import write_picture
from adiff_jax.media.video import VideoWriter

SIZE = 192
FRAMES = 32
PEOPLE = (7, 23)
DRIVERS = (12, 5)


@dataclasses.dataclass(frozen=True)
class Examples:
    """Drawn inputs as files.

    Attributes:
        pictures: of people.
        clips: of moving faces.
        specs: by the files' digests, what the pipeline is told instead of the file: `synthetic:SEED`. It then knows
            the landmarks, and needs no detector.
    """

    pictures: tuple[Path, ...]
    clips: tuple[Path, ...]
    specs: dict[str, str]

    def spec(self, path: str | None) -> str | None:
        """`synthetic:SEED` if the file is an example; None if it is not."""
        return self.specs.get(sha256(Path(path))) if path else None


def draw_examples(
    folder: Path,
    people: Sequence[int] = PEOPLE,
    drivers: Sequence[int] = DRIVERS,
    frames: int = FRAMES,
    size: int = SIZE,
) -> Examples:
    """Draws the examples into a folder.

    Args:
        folder: where to.
        people: seeds of the pictures.
        drivers: seeds of the clips.
        frames: of a clip.
        size: side of pictures and clips, in pixels.
    """
    specs = {}
    pictures, clips = [], []
    for seed in people:
        pictures.append(folder / f"drawn person {seed}.png")
        write_picture(pictures[-1], synthetic_source(seed, size).picture)
        specs[sha256(pictures[-1])] = f"synthetic:{seed}"
    for seed in drivers:
        clips.append(folder / f"drawn driver {seed}.mp4")
        clip = render_clip(seed, num_frames=frames, size=size, fps=SYNTHETIC_FPS)
        with VideoWriter(clips[-1], Fraction(SYNTHETIC_FPS), (size, size)) as video:
            for frame in clip.frames:
                video.write(frame)
        specs[sha256(clips[-1])] = f"synthetic:{seed}"
    return Examples(tuple(pictures), tuple(clips), specs)
