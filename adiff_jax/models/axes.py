"""Names of the logical axes of parameters and activations; `runtime.sharding` maps them to axes of the mesh."""

import math
from collections.abc import Sequence

import flax.linen as nn
from jax.sharding import AbstractMesh, Mesh, PartitionSpec

BATCH = "batch"
EMBED = "embed"
HEADS = "heads"
HIDDEN = "mlp"
LAYERS = "layers"
TOKENS = "tokens"


def divisible_spec(axes: Sequence[str | None], shape: Sequence[int], mesh: Mesh | AbstractMesh) -> PartitionSpec:
    """Where the rules in force put axes of these names, but those that the mesh does not divide: these stay whole."""

    def keep(names, length):
        names = (names,) if isinstance(names, str) else names or ()
        return names if length % math.prod(mesh.shape[name] for name in names) == 0 else None

    return PartitionSpec(*map(keep, nn.logical_to_mesh_axes(tuple(axes)), shape))
