"""Where arrays live: the mesh from the config, and the rules from logical to mesh axes, all in this file."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

AXES = ("data", "fsdp", "tensor", "group")

# Logical axis -> mesh axes. Models name logical axes alone; an axis that is not listed is replicated.
RULES = (
    ("batch", ("data", "fsdp")),
    ("group", "group"),
    ("embed", "fsdp"),
    ("heads", "tensor"),
    ("mlp", "tensor"),
)


def make_mesh(sizes: Mapping[str, int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The device mesh with the axes `AXES`.

    Args:
        sizes: devices along each axis; an absent axis has 1, and one axis may be -1: all the devices that are left.
        devices: the devices to lay out, all by default.

    Raises:
        ValueError: if an axis is unknown or the sizes do not multiply to the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    unknown = set(sizes) - set(AXES)
    if unknown:
        raise ValueError(f"unknown mesh axes {sorted(unknown)}: the axes are {AXES}")
    shape = [sizes.get(axis, 1) for axis in AXES]
    if shape.count(-1) == 1:
        shape[shape.index(-1)] = len(devices) // -math.prod(shape)
    if min(shape) < 1 or math.prod(shape) != len(devices):
        raise ValueError(f"mesh {dict(sizes)} does not fit {len(devices)} devices: the sizes must multiply to that")
    # Linen's logical axes need Auto axes; jax.make_mesh gives Explicit ones.
    return Mesh(np.asarray(devices).reshape(shape), AXES, axis_types=(AxisType.Auto,) * len(AXES))


@contextlib.contextmanager
def on_mesh(mesh: Mesh) -> Iterator[None]:
    """Within it, the logical axes that models name are laid out on `mesh`.

    Linen's `with mesh:` would make every logical constraint a silent no-op.
    """
    with jax.set_mesh(mesh), nn.logical_axis_rules(RULES):
        yield


def state_sharding(mesh: Mesh, abstract: PyTree) -> PyTree[NamedSharding]:
    """The sharding of every leaf of an abstract state, from its logical axis names; without names: replicated."""
    return nn.logical_to_mesh_sharding(nn.get_partition_spec(abstract), mesh, RULES)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The leading axis over `data` and `fsdp`."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def shard_batch(mesh: Mesh, batch: PyTree[np.ndarray]) -> PyTree[jax.Array]:
    """Global arrays from the rows that this process loaded.

    Args:
        mesh: from `make_mesh`.
        batch: arrays with a leading batch axis: this process's part of the global batch.
    """
    sharding = batch_sharding(mesh)
    return jax.tree.map(lambda rows: jax.make_array_from_process_local_data(sharding, rows), batch)
