"""Near duplicates: the same recording twice, encoded anew, of another size or cut a little differently.

Two clips are duplicates if a perceptual hash of their middle frames agrees in most bits and their faces move alike. The
motion is needed: neighbouring clips of one talk look the same.
"""

import base64
import collections
import itertools
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int8, UInt8

from adiff_jax.prep.measures import eye_distance
from adiff_jax.prep.options import DuplicateOptions
from adiff_jax.prep.outcome import Fact

RATE = 10.0  # samples of motion a second
_POINTS = (4, 152, 13, 14, 61, 291, 159, 145, 386, 374, 234, 454)  # nose, chin, lips, lids, cheeks
_LEVELS = 100  # a distance between the eyes, in the signature's steps; landmarks are no finer in a video encoded anew
_LONGEST_SHIFT = 2.0  # seconds
_OVERLAP = 0.8  # share of the shorter clip that must be alike
_DIFFERENT = 0.6  # most difference of the motions in units of the lesser; faces that hardly move are all alike
_BANDS = 4


def look_hash(image: UInt8[np.ndarray, "H W 3"]) -> str:
    """A 64-bit perceptual hash of a picture, as hexadecimal digits: signs of its lowest cosine coefficients."""
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(grey.astype(np.float32))[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return np.packbits(bits).tobytes().hex()


def motion_signature(points: Float[np.ndarray, "F 478 P"], times: Float[np.ndarray, "F"]) -> str:
    """How some points of the face move, at `RATE`, in steps of 1/100 of the distance between the eyes; base64.

    Args:
        points: landmarks in pixels of the whole frame, of which the face's place and size drop out.
        times: of the frames, in seconds.
    """
    flat = points[:, list(_POINTS), :2].reshape(len(points), -1)
    samples = np.arange(times[0], times[-1] + 1e-6, 1 / RATE)
    series = np.stack([np.interp(samples, times, column) for column in flat.T], axis=1)
    steps = (series - series.mean(axis=0)) / eye_distance(points) * _LEVELS
    return base64.b64encode(np.clip(steps.round(), -127, 127).astype(np.int8).tobytes()).decode()


def duplicates(facts: Sequence[Fact], options: DuplicateOptions) -> dict[str, str]:
    """Clips to leave out -> the clip that each is a duplicate of.

    Of duplicates the one with the larger face in its source is kept, then the longer one, then the first.
    """
    if options.duplicate_bits < 0:
        return {}
    order = sorted(range(len(facts)), key=lambda index: (-_face_class(facts[index]), -facts[index].frames, index))
    rank = {index: place for place, index in enumerate(order)}
    same: dict[str, str] = {}
    for first, second in sorted(_candidates(facts), key=lambda pair: sorted(rank[index] for index in pair)):
        better, worse = sorted((first, second), key=rank.__getitem__)
        if facts[better].clip in same or facts[worse].clip in same:
            continue
        if _alike(facts[better], facts[worse], options):
            same[facts[worse].clip] = facts[better].clip
    return same


def _face_class(fact: Fact) -> int:
    """The size of the face in steps of a fifth, so that rounding decides nothing."""
    return round(4 * np.log2(max(fact.measures.get("face", 1.0), 1.0)))


def _candidates(facts: Sequence[Fact]) -> Iterable[tuple[int, int]]:
    """Pairs whose hashes agree in one of four bands of 16 bits at least."""
    width = 16 // _BANDS
    pairs: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        buckets: dict[str, list[int]] = collections.defaultdict(list)
        for index, fact in enumerate(facts):
            if fact.look:
                buckets[fact.look[band * width : (band + 1) * width]].append(index)
        for bucket in buckets.values():
            pairs.update(itertools.combinations(bucket, 2))
    return pairs


def _alike(first: Fact, second: Fact, options: DuplicateOptions) -> bool:
    if (int(first.look, 16) ^ int(second.look, 16)).bit_count() > options.duplicate_bits:
        return False
    a, b = (_unpack(fact.motion) for fact in (first, second))
    return any(
        difference <= min(options.duplicate_motion, _DIFFERENT * motion) for difference, motion in _differences(a, b)
    )


def _unpack(motion: str) -> Float32[np.ndarray, "T D"]:
    steps: Int8[np.ndarray, "n"] = np.frombuffer(base64.b64decode(motion), np.int8)
    return steps.reshape(-1, 2 * len(_POINTS)).astype(np.float32) / _LEVELS


def _differences(a: Float32[np.ndarray, "T D"], b: Float32[np.ndarray, "U D"]) -> Iterator[tuple[float, float]]:
    """Root mean squares of the motions' difference and of the lesser motion, at every shift of one clip."""
    least = _OVERLAP * min(len(a), len(b))
    furthest = round(_LONGEST_SHIFT * RATE)
    for shift in range(-furthest, furthest + 1):
        x, y = (a[shift:], b) if shift >= 0 else (a, b[-shift:])
        length = min(len(x), len(y))
        if length < least or not length:
            continue
        x, y = (motion[:length] - motion[:length].mean(axis=0) for motion in (x, y))
        yield _root_mean_square(x - y), min(_root_mean_square(x), _root_mean_square(y))


def _root_mean_square(motion: Float32[np.ndarray, "T D"]) -> float:
    return float(np.sqrt(np.square(motion).mean()))
