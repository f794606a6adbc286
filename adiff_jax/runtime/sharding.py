"""Where arrays live: the mesh, the rules from logical to mesh axes, and the way onto the mesh and back to the host."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence

import flax.linen as nn
import jax
import numpy as np
from jax.experimental import mesh_utils, multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

AXES = ("data", "fsdp", "tensor", "group")
BATCH_AXES = ("data", "fsdp")

# Logical axis -> mesh axes. Models name logical axes alone; an axis that is not listed is replicated.
RULES = (
    ("batch", BATCH_AXES),
    ("group", "group"),
    ("embed", "fsdp"),
    ("heads", "tensor"),
    ("mlp", "tensor"),
)
# Added for long sequences: between the matmuls, which are divided by heads and hidden units, activations are divided
# by tokens over the same devices, so that no device holds all tokens of what layers keep for the backward pass.
TOKEN_RULES = (*RULES, ("tokens", "tensor"))

# Of a device's memory, at most, for the state: activations, gradients and gathered layers need more.
STATE_SHARE = 1 / 8
LARGE = 2**20  # values; a leaf of as many is divided over `fsdp` even if no name says along which axis


def pick_mesh(
    devices: int,
    *,
    batch_size: int,
    state: PyTree,
    memory: float | None = None,
    sizes: Mapping[str, int] | None = None,
    slices: int = 1,
) -> dict[str, int]:
    """Devices along each mesh axis for a training: the least communication that fits.

    All along `data`, if the state then takes at most an eighth of a device's memory; else the fewest along `fsdp` for
    which it does; `tensor` only if there are more devices than examples, or `fsdp` alone does not do.

    Args:
        devices: their number.
        batch_size: examples that are computed together, over all devices.
        state: the abstract training state with its logical names (`jax.eval_shape` of `train.state.new_state`).
        memory: bytes of one device; None if unknown, then everything fits.
        sizes: axes whose size is given; an absent axis or 0 is free, -1 is as many as possible. `group` is 1 if not
            given.
        slices: of TPUs, see `num_slices`; only `data` reaches from one to another.

    Raises:
        ValueError: if nothing divides both devices and batch, or the given sizes do not allow it.
    """
    _check_axes(sizes or {})
    given = {axis: size for axis, size in (sizes or {}).items() if size > 0}
    most = [axis for axis, size in (sizes or {}).items() if size < 0]
    group = given.get("group", 1)
    state_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    divided = _sizes_over(state, "tensor")
    candidates = []
    for tensor, fsdp in ((t, f) for t in _divisors(devices // group) for f in _divisors(devices // group // t)):
        found = {"data": devices // group // tensor // fsdp, "fsdp": fsdp, "tensor": tensor, "group": group}
        if any(found[axis] != size for axis, size in given.items()) or math.prod(found.values()) != devices:
            continue
        if (
            found["data"] % slices
            or batch_size % (found["data"] * fsdp)
            or (tensor > 1 and any(size % tensor for size in divided))
        ):
            continue
        fits = memory is None or state_bytes / (fsdp * tensor) <= STATE_SHARE * memory
        wish = [-found[axis] for axis in most]
        candidates.append(((wish, not fits, tensor, fsdp if fits else -fsdp), found))
    if not candidates:
        raise ValueError(
            f"no mesh of {devices} devices{f' with {given}' if given else ''} for a batch of {batch_size}: data x fsdp "
            f"must divide the batch, and tensor the model's heads and hidden units"
            f"{f', and data be a multiple of {slices} slices' if slices > 1 else ''}; change batch_size or mesh"
        )
    return min(candidates, key=lambda candidate: candidate[0])[1]


def make_mesh(sizes: Mapping[str, int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The device mesh with the axes `AXES`; on TPUs laid out along the wires, and with several slices, whole slices
    after each other along `data`.

    Args:
        sizes: devices along each axis; an absent axis has 1, and one axis may be -1: all the devices that are left.
        devices: the devices to lay out, all by default.

    Raises:
        ValueError: if an axis is unknown, the sizes do not multiply to the number of devices, or `data` is not a
            multiple of the number of slices.
    """
    devices = jax.devices() if devices is None else devices
    _check_axes(sizes)
    shape = [sizes.get(axis, 1) for axis in AXES]
    if shape.count(-1) == 1:
        shape[shape.index(-1)] = len(devices) // -math.prod(shape)
    if min(shape) < 1 or math.prod(shape) != len(devices):
        raise ValueError(f"mesh {dict(sizes)} does not fit {len(devices)} devices: the sizes must multiply to that")
    slices = num_slices(devices)
    if shape[0] % slices:
        raise ValueError(f"mesh {dict(sizes)} does not fit {slices} slices: data must be a multiple of that")
    if devices[0].platform != "tpu":
        grid = np.asarray(devices).reshape(shape)
    elif slices == 1:
        grid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    else:
        inner, outer = (shape[0] // slices, *shape[1:]), (slices, 1, 1, 1)
        grid = mesh_utils.create_hybrid_device_mesh(inner, outer, devices, allow_split_physical_axes=True)
    # Linen's logical axes need Auto axes; jax.make_mesh gives Explicit ones.
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def num_slices(devices: Sequence[jax.Device]) -> int:
    """TPU slices among the devices: wires join those of one, and slices are joined by the network alone; else 1.

    GPUs of different machines call themselves slices too, but any mesh may reach over them.
    """
    if devices[0].platform != "tpu":
        return 1
    return len({getattr(device, "slice_index", 0) for device in devices})  # devices to compile for have none


def device_memory(device: jax.Device) -> int | None:
    """Bytes that a device has for arrays, None if it does not say (a CPU)."""
    return (device.memory_stats() or {}).get("bytes_limit")


@contextlib.contextmanager
def on_mesh(mesh: Mesh, *, shard_tokens: bool = False) -> Iterator[None]:
    """Within it, the logical axes that models name are laid out on `mesh`.

    Linen's `with mesh:` would make every logical constraint a silent no-op.

    Args:
        mesh: from `make_mesh`.
        shard_tokens: divide sequences by tokens over `tensor`, see `TOKEN_RULES`.
    """
    with jax.set_mesh(mesh), nn.logical_axis_rules(TOKEN_RULES if shard_tokens else RULES):
        yield


def state_sharding(mesh: Mesh, abstract: PyTree) -> PyTree[NamedSharding]:
    """The sharding of every leaf of an abstract state, from its logical axis names; small ones without: replicated.

    An axis that does not divide its dimension leaves it whole. Where that, or a lack of names, leaves `fsdp` unused on
    a large leaf, it takes the largest dimension that it divides.
    """

    def place(leaf):
        boxed = isinstance(leaf, nn.LogicallyPartitioned)
        names, shape = (leaf.names, leaf.value.shape) if boxed else ((), leaf.shape)
        return NamedSharding(mesh, _leaf_spec(mesh.shape, names, shape))

    return jax.tree.map(place, abstract, is_leaf=lambda leaf: isinstance(leaf, nn.LogicallyPartitioned))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The leading axis over `data` and `fsdp`."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def process_rows(mesh: Mesh, batch_size: int, process: int | None = None) -> list[int]:
    """Which rows of every batch a process loads, in ascending order: those that its devices compute.

    They need not be one piece, since a mesh follows the wires and hosts are squares of chips. Processes whose devices
    share rows (`tensor` reaches over several hosts) load the same ones.

    Raises:
        ValueError: if `data` x `fsdp` does not divide the batch.
    """
    process = jax.process_index() if process is None else process
    held = batch_sharding(mesh).devices_indices_map((batch_size,))
    pieces = {index[0].indices(batch_size)[:2] for device, index in held.items() if device.process_index == process}
    return [row for piece in sorted(pieces) for row in range(*piece)]


def shard_batch(mesh: Mesh, batch: PyTree[np.ndarray]) -> PyTree[jax.Array]:
    """Global arrays from the rows that this process loaded.

    Args:
        mesh: from `make_mesh`.
        batch: arrays with a leading batch axis: this process's rows of the global batch, see `process_rows`.
    """
    sharding = batch_sharding(mesh)
    blocks = mesh.shape["data"] * mesh.shape["fsdp"]
    mine = process_rows(mesh, blocks)

    def place(rows):
        each = len(rows) // len(mine)

        def block(index):
            first = mine.index((index[0].start or 0) // each) * each
            return rows[first : first + each]

        return jax.make_array_from_callback((blocks * each, *rows.shape[1:]), sharding, block)

    return jax.tree.map(place, batch)


def place(tree: PyTree[np.ndarray], shardings: PyTree[NamedSharding]) -> PyTree[jax.Array]:
    """Puts arrays that every process has whole where `shardings` say; each device gets its part alone."""

    def put(value, sharding):
        return jax.make_array_from_callback(np.shape(value), sharding, lambda index: np.asarray(value)[index])

    return jax.tree.map(put, tree, shardings)


def replicate(mesh: Mesh, tree: PyTree[np.ndarray]) -> PyTree[jax.Array]:
    """Puts arrays that every process has whole on every device."""
    return place(tree, jax.tree.map(lambda _: replicated(mesh), tree))


def to_host(tree: PyTree[jax.Array]) -> PyTree[np.ndarray]:
    """Whole arrays in the memory of every host, one leaf after the other. All processes must call it."""

    def fetch(leaf):
        if leaf.is_fully_addressable or leaf.is_fully_replicated:
            return np.asarray(leaf)
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(fetch, tree)


def _check_axes(sizes: Mapping[str, int]) -> None:
    if unknown := set(sizes) - set(AXES):
        raise ValueError(f"unknown mesh axes {sorted(unknown)}: the axes are {AXES}")


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _sizes_over(state: PyTree, axis: str) -> set[int]:
    """Sizes of all dimensions that the rules divide over a mesh axis."""
    rules = dict(RULES)
    boxes = jax.tree.leaves(state, is_leaf=lambda leaf: isinstance(leaf, nn.LogicallyPartitioned))
    boxes = [box for box in boxes if isinstance(box, nn.LogicallyPartitioned)]
    return {size for box in boxes for name, size in zip(box.names, box.value.shape) if rules.get(name) == axis}


def _leaf_spec(mesh: Mapping[str, int], names: Sequence[str | None], shape: Sequence[int]) -> PartitionSpec:
    rules = dict(RULES)
    axes = [rules.get(name) for name in names] + [None] * (len(shape) - len(names))
    for place, (axis, size) in enumerate(zip(axes, shape)):
        if axis is not None and (size % mesh[axis] or axis in axes[:place]):
            axes[place] = None
    if "fsdp" not in axes and mesh["fsdp"] > 1 and math.prod(shape) >= LARGE:
        layers = [name == "layers" for name in names] + [False] * (len(shape) - len(names))
        free = [i for i, size in enumerate(shape) if axes[i] is None and not layers[i] and size % mesh["fsdp"] == 0]
        if free:
            axes[max(free, key=lambda i: shape[i])] = "fsdp"
    while axes and axes[-1] is None:
        axes.pop()
    return PartitionSpec(*axes)
