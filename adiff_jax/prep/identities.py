"""Groups clips into persons by their identity embeddings."""

import base64
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from adiff_jax.prep.options import IdentityOptions
from adiff_jax.prep.outcome import Fact

_AT_ONCE = 1024  # clips compared with all persons in one product


def pack(embedding: Float32[np.ndarray, "I"]) -> str:
    """An embedding as base64 of float16."""
    return base64.b64encode(embedding.astype(np.float16).tobytes()).decode()


def identities(facts: Sequence[Fact], options: IdentityOptions) -> dict[str, str]:
    """Clip -> person, for the clips whose person becomes another by grouping.

    A person is named after its first clip's. Each clip in turn joins the person it is most similar to, if similar
    enough, else it begins a new one. Clips that their source says to be of one person stay together, whatever they look
    like; clips without embedding stay as they are.
    """
    known = [fact for fact in facts if fact.face]
    if not known or options.person_similarity > 1:
        return {}
    groups: dict[str, list[Fact]] = {}
    for fact in known:
        groups.setdefault(fact.identity, []).append(fact)
    names = list(groups)
    means = np.stack([_mean([_unpack(fact.face) for fact in groups[name]]) for name in names])
    person = _lead(means, options.person_similarity)
    return {
        fact.clip: names[person[place]]
        for place, name in enumerate(names)
        if person[place] != place
        for fact in groups[name]
    }


def _lead(embeddings: Float32[np.ndarray, "N I"], threshold: float) -> list[int]:
    """For each embedding the place of the one that leads its group; groups are led by their first."""
    leaders: list[int] = []
    person: list[int] = []
    for start in range(0, len(embeddings), _AT_ONCE):
        block = embeddings[start : start + _AT_ONCE]
        similar = block @ embeddings[leaders].T if leaders else np.zeros((len(block), 0), np.float32)
        before = len(leaders)
        for row, embedding in enumerate(block):
            fresh = leaders[before:]
            scores = np.concatenate([similar[row], embeddings[fresh] @ embedding])
            best = int(scores.argmax()) if len(scores) else -1
            if best >= 0 and scores[best] >= threshold:
                person.append(leaders[best])
            else:
                leaders.append(start + row)
                person.append(start + row)
    return person


def _mean(embeddings: Sequence[Float32[np.ndarray, "I"]]) -> Float32[np.ndarray, "I"]:
    mean = np.mean(embeddings, axis=0, dtype=np.float32)
    return mean / max(float(np.linalg.norm(mean)), 1e-6)


def _unpack(face: str) -> Float32[np.ndarray, "I"]:
    return np.frombuffer(base64.b64decode(face), np.float16).astype(np.float32)
