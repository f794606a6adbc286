"""Which frames of a clip make a training sequence (method, section 5)."""

import numpy as np
from jaxtyping import Int64


def draw_sequence(
    rng: np.random.Generator, num_frames: int, length: int, spacing: str = "nonuniform", far_anchor: float = 0.0
) -> Int64[np.ndarray, "S"]:
    """Draws S distinct frames of a clip: a random one of them, the anchor, in slot 0, the others in time order.

    Args:
        rng: source of randomness.
        num_frames: F, frames of the clip.
        length: S, frames of the sequence.
        spacing: `nonuniform`: any S frames of a span whose length is log-uniform in [S, F] and whose place is uniform
            (the paper's random non-uniform spacing); `contiguous`: S neighbours; `strided:K`: every K-th frame.
        far_anchor: probability that the anchor is not one of these, but any other frame of the clip. Anchored sampling
            meets far anchors all the time, log-uniform spans hardly ever. At 0 the draws are those without this option.

    Raises:
        ValueError: if the clip is too short for the sequence, or the spacing is unknown.
    """
    kind, _, stride = spacing.partition(":")
    match kind:
        case "nonuniform" if not stride:
            extent, step = length, 1
        case "contiguous" if not stride:
            extent, step = length, 1
        case "strided" if stride.isdecimal() and int(stride) > 0:
            step = int(stride)
            extent = (length - 1) * step + 1
        case _:
            raise ValueError(f"spacing {spacing!r} is none of nonuniform, contiguous, strided:K")
    if not 1 <= extent <= num_frames:
        raise ValueError(f"a clip of {num_frames} frames cannot give a sequence of {length} with {spacing} spacing")
    if kind == "nonuniform":
        # floor(exp(U(log S, log(F + 1)))) is log-uniform over the whole numbers S .. F.
        span = min(int(np.exp(rng.uniform(np.log(length), np.log(num_frames + 1)))), num_frames)
        frames = np.sort(rng.choice(span, size=length, replace=False)) + rng.integers(num_frames - span + 1)
    else:
        frames = rng.integers(num_frames - extent + 1) + step * np.arange(length)
    place = rng.integers(length)
    anchor, others = frames[place], np.delete(frames, place)
    if far_anchor and rng.random() < far_anchor:
        anchor = rng.choice(np.setdiff1d(np.arange(num_frames), others))
    return np.concatenate([[anchor], others]).astype(np.int64)
