"""Who is seen: recognisers that embed faces, and the cosine metrics of their embeddings."""

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from adiff_jax.evals.descriptor import PADDING, SIZE, describe, load_descriptor
from adiff_jax.media.chips import face_chip
from adiff_jax.models.identity import IdentityConfig, IdentityNetwork
from adiff_jax.weights.bundle import load_component
from adiff_jax.weights.digest import component_digest

CSIM = "mean over frames of the cosine between the identity embeddings of the video's frame and of the reference"
SELF_CSIM = (
    "mean over frames of the cosine distance (1 - cosine, 0 to 2) between the identity embeddings of the video's frame "
    "and of the driving frame, which shows the same person"
)
VERIFICATION = (
    "of all pairs of pictures: mean of the shares of same and of different persons that are told right, at the cosine "
    "that is best for it"
)
EQUAL_ERROR = "share of same pairs rejected where it equals that of different pairs accepted"
RANK_ONE = "share of pictures whose nearest among the other pictures of all persons shows the same person"

DRAWN = Path(__file__).parent / "drawn_identity"
BATCH = 32

Chips = UInt8[np.ndarray, "N size size 3"]


@dataclasses.dataclass(frozen=True)
class Recogniser:
    """A network that tells people apart.

    Attributes:
        name: which network it is and how it sees faces; printed with every number.
        size: side of the face chips it takes, in pixels.
        padding: room around the face in a chip, see `media.chips.face_chip`.
        embed: `BATCH` chips to embeddings of length 1.
    """

    name: str
    size: int
    padding: float
    embed: Callable[[Chips], Float[Array, "N E"]]

    def __call__(
        self, frames: UInt8[np.ndarray, "F R R 3"], points: Float[np.ndarray, "F K P"]
    ) -> Float[np.ndarray, "F E"]:
        """Embeddings of square pictures, given their landmarks in [-1, 1]; their length is 1."""
        chips = np.stack([face_chip(frame, face, self.size, self.padding) for frame, face in zip(frames, points)])
        padded = np.concatenate([chips, np.repeat(chips[-1:], -len(chips) % BATCH, axis=0)])
        parts = [np.asarray(self.embed(padded[start : start + BATCH])) for start in range(0, len(padded), BATCH)]
        return np.concatenate(parts)[: len(chips)]


def drawn_recogniser(folder: str | os.PathLike = DRAWN) -> Recogniser:
    """The network for drawn people: by default the one in the package, else the `identity` folder of a training run.

    Raises:
        WeightsError: the folder is not a complete component.
    """
    config, params = load_component(folder, IdentityConfig)
    network = "the package's identity network" if Path(folder) == DRAWN else f"the identity network in {folder}"
    name = f"{network} ({component_digest(config, params)[:12]})"
    return Recogniser(
        name=f"{name}, on face chips of {config.image_size} x {config.image_size} by the requested landmarks",
        size=config.image_size,
        padding=config.padding,
        embed=functools.partial(_embed_drawn, config, params),
    )


def real_recogniser(folder: str | os.PathLike | None = None) -> Recogniser:
    """The face descriptor of dlib, for real faces; `folder` and errors as of `networks.find_network`."""
    return Recogniser(
        name=f"dlib's face descriptor (weights of face-api) on face chips of {SIZE} x {SIZE}; its cosines are all high",
        size=SIZE,
        padding=PADDING,
        embed=functools.partial(_embed_real, load_descriptor(folder)),
    )


@functools.partial(jax.jit, static_argnums=0)
def _embed_drawn(config, params, chips):
    return IdentityNetwork(config).apply({"params": params}, chips.astype(jnp.float32) / 127.5 - 1)


@jax.jit
def _embed_real(weights, chips):
    descriptors = describe(weights, chips)
    return descriptors / jnp.linalg.norm(descriptors, axis=-1, keepdims=True)


def csim(a: Float[np.ndarray, "F E"], b: Float[np.ndarray, "#F E"]) -> float:
    """See `CSIM`; embeddings of length 1; in [-1, 1], 1 is best."""
    return float((a * b).sum(axis=-1).mean())


def self_csim(video: Float[np.ndarray, "F E"], driving: Float[np.ndarray, "F E"]) -> float:
    """See `SELF_CSIM`; embeddings of length 1; 0 is best."""
    return 1.0 - csim(video, driving)


def verification(embeddings: Float[np.ndarray, "P N E"]) -> dict[str, float]:
    """How well a recogniser tells P persons apart from N pictures of each: `VERIFICATION`, `EQUAL_ERROR`, `RANK_ONE`.

    Raises:
        ValueError: fewer than two persons, or than two pictures of each.
    """
    persons, pictures, _ = embeddings.shape
    if min(persons, pictures) < 2:
        raise ValueError(f"{persons} persons with {pictures} pictures each are too few: at least two of both")
    flat = embeddings.reshape(persons * pictures, -1)
    who = np.repeat(np.arange(persons), pictures)
    cosines = flat @ flat.T
    upper = np.triu_indices(len(flat), 1)
    equal = (who[:, None] == who)[upper]
    same, different = np.sort(cosines[upper][equal]), np.sort(cosines[upper][~equal])
    thresholds = np.concatenate([same, different])
    rejected = np.searchsorted(same, thresholds) / len(same)  # below the threshold
    accepted = 1 - np.searchsorted(different, thresholds) / len(different)
    crossing = np.abs(rejected - accepted).argmin()
    np.fill_diagonal(cosines, -np.inf)
    return {
        "verification": float(1 - (rejected + accepted).min() / 2),
        "equal error": float((rejected[crossing] + accepted[crossing]) / 2),
        "rank one": float((who[cosines.argmax(axis=1)] == who).mean()),
    }
