"""Cuts a stream of frames into shots.

The rule is nearly that of PySceneDetect's adaptive detector, on Lab pictures: a cut is a change much larger than every
one just before and after it, so that fast motion is none, nor a flash, which is two changes. (The package itself would
bring a second copy of OpenCV, which overwrites the one that is here.)
"""

import collections
import itertools
from collections.abc import Iterable, Iterator
from operator import itemgetter

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from adiff_jax.media.video import Frame
from adiff_jax.prep.options import ShotOptions

WINDOW = 2  # changes on either side that a change is compared with
_WIDTH, _HEIGHT = 48, 27
_KEPT = 3  # pixels along each side that are averaged into one; the others are left out
_LEAST = 0.5  # a picture that does not move has no change at all around a cut


def shots(frames: Iterable[Frame], options: ShotOptions) -> Iterator[Iterator[Frame]]:
    """The shots of a video, one after the other; take all frames of one before the next.

    At most `WINDOW` + 1 frames are in memory.
    """
    for _, numbered in itertools.groupby(_numbered(frames, options), key=itemgetter(0)):
        yield (frame for _, frame in numbered)


def _numbered(frames: Iterable[Frame], options: ShotOptions) -> Iterator[tuple[int, Frame]]:
    """Each frame with the number of its shot."""
    waiting: collections.deque[Frame] = collections.deque()
    changes: collections.deque[float] = collections.deque(maxlen=2 * WINDOW + 1)
    shot, before = 0, None
    for frame in frames:
        small = _small(frame.image)
        changes.append(0.0 if before is None else float(np.abs(small - before).mean()))
        before = small
        waiting.append(frame)
        if len(waiting) > WINDOW:
            shot += _is_cut(list(changes), len(changes) - 1 - WINDOW, options)
            yield shot, waiting.popleft()
    for left in range(len(waiting), 0, -1):
        shot += _is_cut(list(changes), len(changes) - left, options)
        yield shot, waiting.popleft()


def _is_cut(changes: list[float], place: int, options: ShotOptions) -> bool:
    """Whether the change at `place` is a cut; the changes around it that are known are compared with it."""
    if not options.cut_ratio or place < 1:
        return False
    around = changes[max(0, place - WINDOW) : place] + changes[place + 1 : place + 1 + WINDOW]
    usual = max([*around, _LEAST])
    return changes[place] >= options.cut_change and changes[place] >= options.cut_ratio * usual


def _small(image: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w 3"]:
    few = cv2.resize(image, (_KEPT * _WIDTH, _KEPT * _HEIGHT), interpolation=cv2.INTER_NEAREST)
    reduced = cv2.resize(few, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(reduced, cv2.COLOR_RGB2LAB).astype(np.float32)
