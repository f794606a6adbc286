"""Meshes and rules, on eight virtual devices where more than one is needed."""

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

from adiff_jax.runtime.sharding import AXES, batch_sharding, make_mesh, on_mesh, shard_batch, state_sharding


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
