"""Landmarks as numbers of like size: where the face is, how large, and how its shape differs from the mean face.

Coordinates are a poor input: nearly all of their variance is where the face lies and how far it is turned, while a
raised brow moves a few of them by a hundredth, which a layer that is trained by gradient steps takes very long to hear.
In the basis of their principal components, each divided by its standard deviation, a brow is as loud as a turn.

`face_basis.safetensors` holds the basis (see `fit_face_basis.py`), of 3,000 drawn people:

    place_mean [3]            of the mean landmark, x and y, and of the logarithm of the radius
    place_std [3]             their standard deviations
    shape_mean [478, 2]       of shapes: landmarks about their mean, over their root mean square radius
    shape_basis [478, 2, 65]  principal components of shapes, over their standard deviations
    neighbours [478, 40]      of each landmark, the landmarks nearest to it in the mean shape
    local_mean [478, 2]       of a landmark's offset from the mean of its neighbours, over the radius of the face
    local_std [478, 2]        their standard deviations
"""

import functools
from importlib.resources import files

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jaxtyping import Array, Float, Int

FILE = "face_basis.safetensors"
NUM_NEIGHBOURS = 40
NUM_COMPONENTS = 65  # with the place, and beside 2 x 478 coordinates, 1,024 numbers, which meshes divide evenly
LEAST_RADIUS = 1e-3  # of a picture that is 2 wide: keeps landmarks that are not given finite


def face_coordinates(landmarks: Float[Array, "B S K 2"]) -> Float[Array, "B S M"]:
    """Place, size and shape of faces: 68 numbers of mean 0 and deviation 1 over many people in motion, float32."""
    basis, landmarks = read_basis(), landmarks.astype(jnp.float32)
    centre = landmarks.mean(axis=2)
    offset = landmarks - centre[:, :, None]
    radius = jnp.sqrt(jnp.square(offset).sum(-1).mean(-1, keepdims=True) + LEAST_RADIUS**2)
    place = (jnp.concatenate([centre, jnp.log(radius)], axis=-1) - basis["place_mean"]) / basis["place_std"]
    shape = offset / radius[..., None] - basis["shape_mean"]
    shape = jnp.einsum("bskx,kxm->bsm", shape, basis["shape_basis"], precision="highest")
    return jnp.concatenate([place, shape], axis=-1)


def local_coordinates(landmarks: Float[Array, "B S K 2"]) -> Float[Array, "B S K 2"]:
    """Where each landmark lies among its neighbours: of mean 0 and deviation 1 over many people in motion, float32.

    Head and place are nearly gone from it; how far a lid is closed and where an eye looks is what it says.
    """
    basis, landmarks = read_basis(), landmarks.astype(jnp.float32)
    offset = landmarks - landmarks.mean(axis=2, keepdims=True)
    radius = jnp.sqrt(jnp.square(offset).sum(-1).mean(-1) + LEAST_RADIUS**2)
    local = jnp.einsum("bskx,jk->bsjx", offset, relief(basis["neighbours"]), precision="highest")
    return (local / radius[..., None, None] - basis["local_mean"]) / basis["local_std"]


def relief(neighbours: Int[np.ndarray, "K n"]) -> Float[np.ndarray, "K K"]:
    """The matrix that takes each landmark to its offset from the mean of its neighbours."""
    matrix = np.eye(len(neighbours), dtype=np.float32)
    np.subtract.at(matrix, (np.arange(len(neighbours))[:, None], neighbours), 1 / neighbours.shape[1])
    return matrix


@functools.cache
def read_basis() -> dict[str, np.ndarray]:
    """The tensors of the file."""
    return safetensors.numpy.load(files(__package__).joinpath(FILE).read_bytes())
