"""Small random clips."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from adiff_jax.data.schema import ClipInfo, ClipRecord

FRAMES, SIZE = 12, 32


def random_clip(seed: int, frames: int = FRAMES) -> ClipRecord:
    """A smooth random clip whose every picture tells clip and frame: mean level 2 * seed of red, 4 * frame of blue."""
    rng = np.random.default_rng(seed)
    pictures = np.full((frames, SIZE, SIZE, 3), 2 * seed + 40, np.uint8)
    pictures[..., 2] = 4 * np.arange(frames)[:, None, None]
    pictures[:, 8:24, 8:24, 1] = rng.integers(0, 256, size=(frames, 1, 1))
    info = ClipInfo(
        id=f"clip-{seed}", identity=f"p{seed}", captions=(f"person number {seed}", "a person"), attributes={"age": seed}
    )
    landmarks = rng.uniform(-1, 1, (frames, 478, 3)).astype(np.float32)
    return ClipRecord(info, pictures, np.arange(frames) / 25, landmarks)


@dataclasses.dataclass(frozen=True)
class RandomClips:
    """A source of random clips, which worker processes can have too."""

    clips: int

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> ClipRecord:
        return random_clip(int(index))


@pytest.fixture
def make_clip() -> Callable[..., ClipRecord]:
    return random_clip


@pytest.fixture
def clips() -> RandomClips:
    return RandomClips(24)
