"""Whether a long video stays one person in one scene: over all of it, and from frame to frame, which are two things.

Averaging methods can be smooth between neighbours and still drift from end to end; methods that share an anchor hold
the ends together and may have seams. Colours washed to grey flatter every distance of colours: so saturation stands
beside them.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, UInt8

from adiff_jax.evals.colours import SATURATION, region_colour, saturation
from adiff_jax.evals.identity import SELF_CSIM, self_csim
from adiff_jax.evals.intervals import finite_mean
from adiff_jax.evals.report import Metric

_IDENTITY = "cosine distance (1 - cosine) between the identity embeddings of"
_COLOUR = "distance (Euclidean, red, green, blue, 0 to 255) between the mean colours, in the true regions, of"
_REGIONS = "; mean over hair, clothes and background"

CONSISTENCY_METRICS = (
    Metric("Self-CSIM", SELF_CSIM, ".4f"),
    Metric("identity pairwise", f"mean {_IDENTITY} any two frames of the video", ".4f"),
    Metric("identity ends", f"{_IDENTITY} the first and the last frame", ".4f"),
    Metric("identity neighbours", f"mean {_IDENTITY} frames next to each other", ".4f"),
    Metric("colour pairwise", f"mean {_COLOUR} any two frames of the video{_REGIONS}", ".1f"),
    Metric("colour ends", f"{_COLOUR} the first and the last frame{_REGIONS}", ".1f"),
    Metric("colour neighbours", f"mean {_COLOUR} frames next to each other{_REGIONS}", ".2f"),
    Metric(
        "flicker",
        "mean absolute difference, 0 to 255, between what changes from one frame to the next in the video and in the "
        "driving clip",
        ".2f",
    ),
    Metric("saturation", SATURATION, ".1f", "higher"),
)


def consistency_scores(
    frames: UInt8[np.ndarray, "F R R 3"],
    driving: UInt8[np.ndarray, "F R R 3"],
    identity: Float[np.ndarray, "F E"],
    driving_identity: Float[np.ndarray, "F E"],
    regions: Mapping[str, Bool[np.ndarray, "F R R"]],
) -> dict[str, float]:
    """`CONSISTENCY_METRICS` of one video of two frames or more.

    Args:
        frames: the video.
        driving: the driving clip, of the same person.
        identity: embeddings of the frames, of length 1.
        driving_identity: those of the driving clip.
        regions: where hair, clothes and background are in each frame; none for real faces, and no colours then.
    """
    colours = [region_colour(frames, masks) for masks in regions.values()]
    return {
        "Self-CSIM": self_csim(identity, driving_identity),
        **{f"identity {name}": value for name, value in _spread(_cosine_distances(identity)).items()},
        **{f"colour {name}": value for name, value in _mean_spread(colours).items()},
        "flicker": flicker(frames, driving),
        "saturation": saturation(frames),
    }


def distance_to_anchor(identity: Float[np.ndarray, "F E"], anchor: int) -> Float[np.ndarray, "F"]:
    """Cosine distance of each frame's identity to that of the anchor, by how many frames it is away; NaN is no frame.

    The mean of the frames on both sides of the anchor.
    """
    distances = 1 - identity @ identity[anchor]
    sides = np.full((2, len(identity)), np.nan)
    sides[0, : len(identity) - anchor] = distances[anchor:]
    sides[1, : anchor + 1] = distances[anchor::-1]
    count = np.isfinite(sides).sum(axis=0)
    return np.where(count, np.nansum(sides, axis=0) / np.maximum(count, 1), np.nan)


def flicker(frames: UInt8[np.ndarray, "F H W 3"], driving: UInt8[np.ndarray, "F H W 3"]) -> float:
    """See `CONSISTENCY_METRICS`; 0 for the driving clip itself, and for one that is wrong by a still picture."""
    change, wanted = (np.diff(video.astype(np.int16), axis=0) for video in (frames, driving))
    return float(np.abs(change - wanted).mean())


def _cosine_distances(embeddings: Float[np.ndarray, "F E"]) -> Float[np.ndarray, "F F"]:
    return 1 - embeddings @ embeddings.T


def _colour_distances(colours: Float[np.ndarray, "F 3"]) -> Float[np.ndarray, "F F"]:
    return np.linalg.norm(colours[:, None] - colours[None], axis=-1)


def _spread(distances: Float[np.ndarray, "F F"]) -> dict[str, float]:
    """Of distances between all frames; those that are NaN (a region that a frame does not show) do not count."""
    pairs = distances[np.triu_indices(len(distances), 1)]
    return {
        "pairwise": finite_mean(pairs),
        "ends": float(distances[0, -1]),
        "neighbours": finite_mean(np.diagonal(distances, 1)),
    }


def _mean_spread(colours: list[Float[np.ndarray, "F 3"]]) -> dict[str, float]:
    """The mean over regions; a bald person has no hair."""
    spreads = [_spread(_colour_distances(colour)) for colour in colours]
    return {
        name: finite_mean(np.array([spread[name] for spread in spreads])) for name in ("pairwise", "ends", "neighbours")
    }
