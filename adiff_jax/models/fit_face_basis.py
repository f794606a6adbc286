"""Fits the basis of `face_basis` to the faces of a data set.

    python -m adiff_jax.models.fit_face_basis RECORDS

reads some frames of every clip in a folder of records, or of drawn people (synthetic:COUNT:SEED), and writes
`face_basis.safetensors` beside this file. A model has to be trained with the basis that it is used with.
"""

import argparse
from pathlib import Path

import numpy as np
import safetensors.numpy
from jaxtyping import Float
from tqdm import tqdm

from adiff_jax.data.source import ClipSource, open_source
from adiff_jax.media.files import write_aside
from adiff_jax.models.face_basis import FILE, NUM_COMPONENTS, NUM_NEIGHBOURS, relief

FRAMES_A_CLIP = 4


def read_landmarks(source: ClipSource, seed: int = 0) -> Float[np.ndarray, "F 478 2"]:
    """Landmarks of up to `FRAMES_A_CLIP` frames of every clip, drawn at random."""
    rng = np.random.default_rng(seed)
    landmarks = []
    for index in tqdm(range(len(source)), unit=" clips"):
        track = source[index].landmarks[..., :2]
        landmarks.append(track[rng.permutation(len(track))[:FRAMES_A_CLIP]])
    return np.concatenate(landmarks)


def fit_basis(landmarks: Float[np.ndarray, "F 478 2"]) -> dict[str, np.ndarray]:
    """The tensors of the file."""
    landmarks = landmarks.astype(np.float64)
    centre = landmarks.mean(axis=1)
    offset = landmarks - centre[:, None]
    radius = np.sqrt(np.square(offset).sum(-1).mean(-1))
    place = np.column_stack([centre, np.log(radius)])
    shapes = offset / radius[:, None, None]
    mean = shapes.mean(axis=0)
    _, lengths, components = np.linalg.svd((shapes - mean).reshape(len(shapes), -1), full_matrices=False)
    deviations = lengths[:NUM_COMPONENTS] / len(shapes) ** 0.5
    basis = (components[:NUM_COMPONENTS] / deviations[:, None]).T.reshape(*mean.shape, NUM_COMPONENTS)
    distances = np.linalg.norm(mean[:, None] - mean, axis=-1)
    neighbours = distances.argsort(axis=1)[:, 1 : NUM_NEIGHBOURS + 1].astype(np.int32)
    local = relief(neighbours) @ shapes
    fitted = {
        "place_mean": place.mean(axis=0),
        "place_std": place.std(axis=0),
        "shape_mean": mean,
        "shape_basis": basis,
        "local_mean": local.mean(axis=0),
        "local_std": local.std(axis=0),
    }
    fitted = {name: np.ascontiguousarray(value, np.float32) for name, value in fitted.items()}
    return fitted | {"neighbours": neighbours}


def main() -> None:
    """Runs the command of the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", help="folder of records, or synthetic:COUNT:SEED")
    basis = fit_basis(read_landmarks(open_source(parser.parse_args().records)))
    with write_aside(Path(__file__).with_name(FILE)) as aside:
        aside.write_bytes(safetensors.numpy.save(basis, {"title": "principal components of drawn faces' landmarks"}))


if __name__ == "__main__":
    main()
