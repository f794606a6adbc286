"""Two chips of one person, changed only when asked to."""

import numpy as np

from adiff_jax.data.pairs import PickPair, identity_transforms
from adiff_jax.data.source import open_source

CLIP = open_source("synthetic:1:3", num_frames=5, size=48)[0]


def draw(transform, seed: int = 0) -> np.ndarray:
    return transform.random_map(CLIP, np.random.default_rng(seed))["pair"]


def test_two_frames_of_the_clip() -> None:
    pick = PickPair(16, 0.25)
    pair = draw(pick)
    assert pair.shape == (2, 16, 16, 3)
    assert pair.dtype == np.uint8
    assert np.any(pair[0] != pair[1])
    np.testing.assert_array_equal(pair, draw(pick))
    assert np.any(pair != draw(pick, seed=1))


def test_changes_keep_the_face_recognisable() -> None:
    still, keep = identity_transforms(32, 0.45, augment=False)
    changed = identity_transforms(32, 0.45)[0]
    a, b = draw(still).astype(int), draw(changed).astype(int)
    # Frames of one clip, moved by a pixel or two and 6 % brighter or darker: far nearer than two people, about 60.
    assert 0 < np.abs(a.mean(axis=0) - b.mean(axis=0)).mean() < 40
    floats = keep.map({"pair": a.astype(np.uint8)})["pair"]
    assert floats.dtype == np.float32
    assert -1 <= floats.min() < floats.max() <= 1
