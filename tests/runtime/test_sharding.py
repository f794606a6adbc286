"""Meshes and rules, on eight virtual devices where more than one is needed."""

import dataclasses
import itertools
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from adiff_jax.runtime.sharding import (
    AXES,
    batch_sharding,
    make_mesh,
    num_slices,
    on_mesh,
    pick_mesh,
    place,
    process_rows,
    replicate,
    shard_batch,
    state_sharding,
    to_host,
)


@pytest.mark.parametrize("sizes", [{}, {"data": -1}, {"data": 1, "tensor": 1}, {"fsdp": -1, "group": 1}])
def test_one_device(sizes: dict[str, int]) -> None:
    mesh = make_mesh(sizes, jax.devices()[:1])
    assert mesh.axis_names == AXES
    assert mesh.size == 1


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"data": 2}, "does not fit 1 devices"),
        ({"data": -1, "fsdp": -1}, "does not fit 1 devices"),
        ({"data": -1, "fsdp": 2}, "does not fit 1 devices"),
        ({"model": 1}, "unknown mesh axes"),
    ],
)
def test_sizes_that_do_not_fit(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_mesh(sizes, jax.devices()[:1])


def test_parameters_follow_their_logical_names() -> None:
    mesh = make_mesh({}, jax.devices()[:1])
    boxed = {
        "kernel": nn.LogicallyPartitioned(jax.ShapeDtypeStruct((4, 8), jnp.float32), ("embed", "mlp")),
        "bias": jax.ShapeDtypeStruct((8,), jnp.float32),
    }
    shardings = state_sharding(mesh, boxed)
    assert shardings["kernel"].spec == PartitionSpec("fsdp", "tensor")
    assert shardings["bias"].spec == PartitionSpec()


def test_one_process_loads_all_of_a_batch() -> None:
    assert process_rows(make_mesh({}, jax.devices()[:1]), 4) == [0, 1, 2, 3]


@dataclasses.dataclass(frozen=True)
class Chip:
    """As much of a TPU as laying out a mesh asks for; hosts are squares of 2 x 2 chips."""

    id: int
    coords: tuple[int, int, int]
    process_index: int
    slice_index: int
    device_kind: str
    platform: str = "tpu"
    core_on_chip: int = 0
    num_cores: int = 1


def tpus(kind: str, shape: tuple[int, int, int], slices: int = 1) -> list[Chip]:
    x, y, z = shape
    chips = []
    for number, (piece, k, j, i) in enumerate(itertools.product(range(slices), range(z), range(y), range(x))):
        host = ((piece * z + k) * (y // 2) + j // 2) * (x // 2) + i // 2
        chips.append(Chip(number, (i, j, k), host, piece, kind))
    return chips


SLICES = [
    ("TPU v5 lite", (4, 4, 1), 1),
    ("TPU v5 lite", (16, 16, 1), 1),
    ("TPU v6 lite", (4, 4, 1), 1),
    ("TPU v4", (2, 2, 4), 1),
    ("TPU v5", (4, 4, 4), 1),
    ("TPU v5 lite", (4, 4, 1), 2),
]


@pytest.mark.parametrize(("kind", "shape", "slices"), SLICES)
@pytest.mark.parametrize("fsdp", [1, 2, 4, 8])
def test_hosts_load_what_their_chips_compute(kind: str, shape: tuple, slices: int, fsdp: int) -> None:
    chips = tpus(kind, shape, slices)
    assert num_slices(chips) == slices
    mesh = make_mesh({"data": -1, "fsdp": fsdp}, chips)
    batch = 2 * len(chips)
    loaded = {host: process_rows(mesh, batch, host) for host in {chip.process_index for chip in chips}}
    assert sorted(row for rows in loaded.values() for row in rows) == list(range(batch))
    assert all(len(rows) == 8 and rows == sorted(rows) for rows in loaded.values())  # four chips, two rows each
    for chip, index in batch_sharding(mesh).devices_indices_map((batch,)).items():
        assert set(range(batch)[index[0]]) <= set(loaded[chip.process_index])
    # Only `data` reaches from slice to slice.
    assert all(len({chip.slice_index for chip in row.flat}) == 1 for row in mesh.devices)


def test_machines_with_gpus_are_no_slices() -> None:
    gpus = [dataclasses.replace(chip, platform="gpu") for chip in tpus("H100", (2, 2, 1), 2)]
    assert num_slices(gpus) == 1
    assert make_mesh({"fsdp": 8}, gpus).shape["fsdp"] == 8


def test_slices_divide_data() -> None:
    assert pick_mesh(32, batch_size=64, state=SQUARE, memory=FIFTH / 16, slices=2)["data"] == 2
    with pytest.raises(ValueError, match="does not fit 2 slices"):
        make_mesh({"fsdp": 32}, tpus("TPU v5 lite", (4, 4, 1), 2))


def test_there_and_back() -> None:
    mesh = make_mesh({}, jax.devices()[:1])
    tree = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(2)}
    for placed in (replicate(mesh, tree), place(tree, {"a": batch_sharding(mesh), "b": replicated_on(mesh)})):
        back = to_host(placed)
        assert jax.tree.all(jax.tree.map(np.array_equal, back, tree))


def replicated_on(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
    return jax.sharding.NamedSharding(mesh, PartitionSpec())


def boxed(*leaves: tuple[tuple[int, ...], tuple[str | None, ...]]) -> list:
    return [nn.LogicallyPartitioned(jax.ShapeDtypeStruct(shape, jnp.float32), names) for shape, names in leaves]


# 2^20 values, 4 MiB.
SQUARE = boxed(((1024, 1024), ("embed", "mlp")))
SIXTEENTH, FIFTH = 16 * 2**22, 5 * 2**22  # memory of which it is a share; an eighth at most is for the state


@pytest.mark.parametrize(
    ("devices", "batch", "memory", "sizes", "picked"),
    [
        (1, 7, None, {}, (1, 1, 1, 1)),
        (8, 16, None, {}, (8, 1, 1, 1)),
        (8, 16, SIXTEENTH, {}, (8, 1, 1, 1)),
        (8, 16, FIFTH, {}, (4, 2, 1, 1)),
        (8, 16, FIFTH / 16, {}, (1, 8, 1, 1)),  # nothing fits: as little as possible a device
        (8, 4, None, {}, (4, 1, 2, 1)),  # more devices than examples
        (8, 16, FIFTH, {"data": 1}, (1, 8, 1, 1)),
        (8, 16, FIFTH, {"data": 0, "fsdp": 0, "tensor": 4, "group": 1}, (2, 1, 4, 1)),
        (8, 16, None, {"group": 2}, (4, 1, 1, 2)),
        (256, 512, FIFTH / 4, {}, (32, 8, 1, 1)),
        (6, 12, None, {}, (6, 1, 1, 1)),
        (8, 16, None, {"data": 1, "fsdp": -1}, (1, 8, 1, 1)),
        (8, 16, FIFTH, {"data": -1, "fsdp": 1, "tensor": 1, "group": 1}, (8, 1, 1, 1)),
    ],
)
def test_pick_mesh(devices: int, batch: int, memory: float | None, sizes: dict, picked: tuple[int, ...]) -> None:
    mesh = pick_mesh(devices, batch_size=batch, state=SQUARE, memory=memory, sizes=sizes)
    assert tuple(mesh[axis] for axis in AXES) == picked


@pytest.mark.parametrize(
    ("devices", "batch", "sizes"), [(7, 10, {}), (4, 1, {"tensor": 1}), (4, 4, {"data": 3}), (4, 4, {"group": 3})]
)
def test_no_mesh_can_be_picked(devices: int, batch: int, sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="change batch_size or mesh"):
        pick_mesh(devices, batch_size=batch, state=SQUARE, sizes=sizes)


@pytest.mark.parametrize(
    ("shape", "names", "spec"),
    [
        ((8, 12), ("embed", "mlp"), ("fsdp", "tensor")),
        ((6, 12), ("embed", "mlp"), (None, "tensor")),  # 4 does not divide 6
        ((8, 5), ("embed", "mlp"), ("fsdp",)),
        ((3, 8, 8), ("layers", "embed", None), (None, "fsdp")),
        ((2**10, 2**11), (), (None, "fsdp")),  # large without names, along the largest
        ((4, 2, 2**20), ("layers", None, "mlp"), (None, None, "tensor")),  # never along the layers
        ((8, 8), (), ()),
        ((8, 8), ("embed", "embed"), ("fsdp",)),
    ],
)
def test_where_a_leaf_lies(shape: tuple[int, ...], names: tuple[str | None, ...], spec: tuple) -> None:
    mesh = jax.sharding.AbstractMesh((1, 4, 2, 1), AXES)
    assert state_sharding(mesh, boxed((shape, names)))[0].spec == PartitionSpec(*spec)


def test_batches_lie_over_data_and_fsdp() -> None:
    mesh = make_mesh({}, jax.devices()[:1])
    batch = shard_batch(mesh, {"image": np.arange(6.0).reshape(2, 3)})
    assert batch["image"].sharding == batch_sharding(mesh)
    np.testing.assert_array_equal(batch["image"], np.arange(6.0).reshape(2, 3))


def test_logical_constraints_are_not_silently_ignored() -> None:
    with on_mesh(make_mesh({}, jax.devices()[:1])):
        lowered = jax.jit(lambda x: nn.with_logical_constraint(x, ("batch", "embed"))).lower(jnp.zeros((2, 2)))
    assert "sharding_constraint" in lowered.as_text()


EIGHT_DEVICES = """
    import jax, jax.numpy as jnp, numpy as np, optax
    from adiff_jax.runtime.sharding import make_mesh, on_mesh, shard_batch
    from adiff_jax.train.state import create_state
    from adiff_jax.train.step import make_step
    from toy import ToyTask

    batch = {"image": np.random.default_rng(0).uniform(-1, 1, (8, 4, 4, 3)).astype(np.float32)}
    optimizer = optax.adamw(0.1)
    results = []
    for sizes, devices in (({}, 1), ({"data": 8}, 8), ({"data": 2, "fsdp": 4}, 8), ({"fsdp": 2, "tensor": 4}, 8)):
        mesh = make_mesh(sizes, jax.devices()[:devices])
        with on_mesh(mesh):
            state = create_state(ToyTask(), optimizer, 0, batch, mesh)
            step = jax.jit(make_step(optimizer, 0.9), donate_argnums=1)
            for _ in range(3):
                state, metrics = step(ToyTask(), state, shard_batch(mesh, batch))
        results.append(np.append(state.params["gain"], metrics["loss"]))
        print(sizes, results[-1])
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-5)  # sums in another order
"""


@pytest.mark.slow
def test_any_mesh_takes_the_same_steps(root: Path) -> None:
    environ = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")]),
    }
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(EIGHT_DEVICES)], env=environ, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
