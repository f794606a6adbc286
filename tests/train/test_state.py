"""Optimiser, schedules and the average of the weights."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import ToyTask, toy_config

from adiff_jax.runtime.sharding import make_mesh
from adiff_jax.train.state import (
    abstract_state,
    boxed_state,
    create_state,
    make_optimizer,
    make_schedule,
    update_ema,
)

STEPS = 10


@pytest.mark.parametrize(("schedule", "last"), [("constant", 0.1), ("cosine", 0.0)])
def test_schedules_warm_up_and_end(schedule: str, last: float) -> None:
    config = toy_config().optimizer
    config.schedule = schedule
    rate = make_schedule(config, STEPS)
    np.testing.assert_allclose([rate(0), rate(1), rate(2), rate(STEPS)], [0.05, 0.075, 0.1, last], atol=1e-8)
    config.warmup_steps = 0
    np.testing.assert_allclose(make_schedule(config, STEPS)(0), 0.1, atol=1e-8)


def test_unknown_schedule_is_refused() -> None:
    config = toy_config().optimizer
    config.schedule = "linear"
    with pytest.raises(ValueError, match="none of constant, cosine"):
        make_schedule(config, STEPS)


def test_only_kernels_decay() -> None:
    config = toy_config().optimizer
    config.weight_decay = 0.5
    config.warmup_steps = 0
    optimizer = make_optimizer(config, STEPS)
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones((2, 2))}  # stacked over two layers
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.1 * 0.5 * np.ones((2, 2)), rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], np.zeros((2, 2)))


def test_logically_partitioned_kernels_decay() -> None:
    config = toy_config().optimizer
    config.weight_decay = 0.5
    optimizer = make_optimizer(config, STEPS)
    kernel = nn.LogicallyPartitioned(jnp.ones((2, 2)), ("embed", "mlp"))
    updates, _ = optimizer.update({"kernel": kernel}, optimizer.init({"kernel": kernel}), {"kernel": kernel})
    assert not np.array_equal(updates["kernel"].unbox(), kernel.unbox())


def test_average_of_constant_weights_is_the_weights() -> None:
    params = {"w": jnp.array([1.0, -3.0], jnp.bfloat16)}
    average = update_ema({"w": jnp.array([1.0, -3.0])}, params, jnp.int32(5), 0.999)
    assert average["w"].dtype == jnp.float32
    np.testing.assert_allclose(average["w"], [1.0, -3.0])


@pytest.mark.parametrize(("step", "decay"), [(0, 0.1), (8, 0.5), (1_000_000, 0.99)])
def test_decay_warms_up(step: int, decay: float) -> None:
    average = update_ema({"w": jnp.ones(1)}, {"w": jnp.zeros(1)}, jnp.int32(step), 0.99)
    np.testing.assert_allclose(average["w"], [decay], rtol=1e-6)


def test_a_new_state() -> None:
    optimizer = make_optimizer(toy_config().optimizer, STEPS)
    mesh = make_mesh({}, jax.devices()[:1])
    state = create_state(ToyTask(), optimizer, 3, {}, mesh)
    assert state.step == state.skipped == 0
    np.testing.assert_array_equal(state.ema["gain"], state.params["gain"])
    again = create_state(ToyTask(), optimizer, 3, {}, make_mesh({}, jax.devices()[:1]))
    np.testing.assert_array_equal(again.params["gain"], state.params["gain"])
    other = create_state(ToyTask(), optimizer, 4, {}, make_mesh({}, jax.devices()[:1]))
    assert not np.array_equal(other.params["gain"], state.params["gain"])
    shapes = abstract_state(boxed_state(ToyTask(), optimizer, 3, {}), mesh)
    assert jax.tree.structure(shapes) == jax.tree.structure(state)
    assert shapes.params["gain"].sharding == state.params["gain"].sharding
