"""Reads attributes of drawn people from pictures: colours of hair and clothes, and whether there are glasses.

    picture, landmarks ──► colours at places of the head and the picture ──► discriminants ──► names

The discriminants are fitted to drawn people whose attributes are known; what they get right on others is stated with
every number that they give.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from safetensors import safe_open
from safetensors.numpy import save_file

from adiff_jax.media.files import write_aside

READ = "share of videos of which the attribute reader, given the mean over frames, reads what the text says"

SHIPPED = Path(__file__).parent / "drawn_attributes.safetensors"

POOLING = 0.1  # of a class's covariance towards that of all classes
SHRINKAGE = 0.02  # of the covariance towards its diagonal

# Places in heights of the face (forehead 10 to chin 152) from its centre: to the picture's right, and upwards.
_HAIR = ((0, 0.56), (-0.18, 0.55), (0.18, 0.55), (0, 0.66), (-0.4, 0.34), (0.4, 0.34), (-0.44, 0.1), (0.44, 0.1))
_CLOTHES = tuple((x, 0.95) for x in (-0.7, -0.45, -0.2, 0.0, 0.2, 0.45, 0.7))  # in half widths of the picture
_SCENE = ((-0.9, -0.9), (0.9, -0.9), (-0.9, -0.2), (0.9, -0.2))
_SKIN = (50, 280, 151)  # cheeks and forehead
# Where rims of glasses are: the bridge, below the eyes, beside them, above them.
_RIMS = (168, 6, 197, 119, 120, 121, 348, 349, 350, 31, 261, 226, 446, 111, 340, 223, 443, 117, 346)

ATTRIBUTES = ("hair", "clothes", "glasses")
_PARTS = ("means", "precisions", "log_determinants")  # of a discriminant, as it is saved


def features(frames: UInt8[np.ndarray, "F R R 3"], points: Float[np.ndarray, "F 478 P"]) -> dict[str, np.ndarray]:
    """What each of `ATTRIBUTES` is read from: the mean over frames of colours, 0 to 1, at its places."""
    return {
        name: np.mean([_of_frame(frame, face)[name] for frame, face in zip(frames, points)], axis=0)
        for name in ATTRIBUTES
    }


def _of_frame(frame: UInt8[np.ndarray, "R R 3"], face: Float[np.ndarray, "478 P"]) -> dict[str, np.ndarray]:
    size = len(frame)
    smooth = cv2.blur(frame, (max(size // 24, 1),) * 2).astype(np.float64) / 255
    fine = frame.astype(np.float64) / 255
    face = np.asarray(face, np.float64)[:, :2]
    up = face[10] - face[152]
    right = np.array([-up[1], up[0]])
    centre = (face[10] + face[152]) / 2
    hair = _at(smooth, centre + np.array(_HAIR) @ np.stack([right, up]))
    skin = _at(smooth, face[list(_SKIN)])
    clothes, scene = (_at(smooth, np.array(places)) for places in (_CLOTHES, _SCENE))
    light = skin.mean(axis=0)
    rims = _at(fine, face[list(_RIMS)]) - light
    return {
        "hair": np.concatenate([hair, skin, scene]).ravel(),
        "clothes": np.concatenate([clothes, skin]).ravel(),
        "glasses": np.concatenate([rims.ravel(), rims.min(axis=1), light]),
    }


def _at(picture: Float[np.ndarray, "R R 3"], places: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 3"]:
    """Colours at places in [-1, 1]; outside the picture those of its border."""
    size = len(picture)
    columns, rows = np.clip(np.rint((places + 1) * size / 2 - 0.5), 0, size - 1).astype(int).T
    return picture[rows, columns]


@dataclasses.dataclass(frozen=True)
class Discriminant:
    """Quadratic discriminant analysis: the class of the greatest normal density, with equal priors.

    Covariances of the classes are drawn towards their common one, and that towards its diagonal (Friedman 1989,
    Regularized Discriminant Analysis).
    """

    classes: tuple[str, ...]
    means: Float32[np.ndarray, "C D"]
    precisions: Float32[np.ndarray, "C D D"]
    log_determinants: Float32[np.ndarray, "C"]

    @classmethod
    def fit(cls, examples: Float[np.ndarray, "N D"], labels: Sequence[str]) -> "Discriminant":
        """Means and regularised covariances of the classes."""
        classes = tuple(sorted(set(labels)))
        names = np.array(labels)
        means = np.stack([examples[names == name].mean(axis=0) for name in classes])
        inside = examples - means[[classes.index(name) for name in labels]]
        pooled = inside.T @ inside / len(examples)
        precisions, log_determinants = [], []
        for name in classes:
            own = inside[names == name]
            covariance = (1 - POOLING) * own.T @ own / len(own) + POOLING * pooled
            diagonal = np.diag(np.diag(covariance) + 1e-6)
            covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * diagonal
            precisions.append(np.linalg.inv(covariance))
            log_determinants.append(np.linalg.slogdet(covariance)[1])
        return cls(classes, *(np.array(part, np.float32) for part in (means, precisions, log_determinants)))

    def __call__(self, example: Float[np.ndarray, "D"]) -> str:
        """The class of an example."""
        offsets = example - self.means
        distances = np.einsum("cd,cde,ce->c", offsets, self.precisions, offsets)
        return self.classes[int((distances + self.log_determinants).argmin())]


@dataclasses.dataclass(frozen=True)
class AttributeReader:
    """Reads `ATTRIBUTES`; `glasses` is "none" or "some"."""

    discriminants: Mapping[str, Discriminant]

    @property
    def name(self) -> str:
        """Which reader it is, in words and the beginning of a SHA-256."""
        digest = hashlib.sha256()
        for discriminant in self.discriminants.values():
            for part in _PARTS:
                digest.update(np.ascontiguousarray(getattr(discriminant, part), "<f4").data)
        return f"quadratic discriminants on colours at places of the face, {digest.hexdigest()[:12]}"

    @classmethod
    def fit(
        cls, examples: Sequence[Mapping[str, np.ndarray]], truths: Sequence[Mapping[str, str]]
    ) -> "AttributeReader":
        """From `features` and attributes of people; an attribute that somebody lacks (hair) is not learned of them."""
        discriminants = {}
        for name in ATTRIBUTES:
            known = [(example[name], truth[name]) for example, truth in zip(examples, truths) if name in truth]
            of_people, labels = zip(*known)
            discriminants[name] = Discriminant.fit(np.stack(of_people), labels)
        return cls(discriminants)

    @classmethod
    def load(cls, path: str | os.PathLike = SHIPPED) -> "AttributeReader":
        """Reads what `save` wrote; by default the one in the package."""
        with safe_open(path, "numpy") as file:
            classes = json.loads(file.metadata()["classes"])
            return cls(
                {
                    name: Discriminant(tuple(of), *(file.get_tensor(f"{name}.{part}") for part in _PARTS))
                    for name, of in classes.items()
                }
            )

    def save(self, path: str | os.PathLike) -> None:
        """Writes a safetensors file."""
        tensors = {}
        for name, discriminant in self.discriminants.items():
            tensors |= {f"{name}.{part}": getattr(discriminant, part) for part in _PARTS}
        classes = {name: discriminant.classes for name, discriminant in self.discriminants.items()}
        with write_aside(path) as draft:
            save_file(tensors, draft, metadata={"classes": json.dumps(classes)})

    def __call__(self, example: Mapping[str, np.ndarray]) -> dict[str, str]:
        """The names of all attributes, read from `features`."""
        return {name: discriminant(example[name]) for name, discriminant in self.discriminants.items()}
