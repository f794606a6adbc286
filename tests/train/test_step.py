"""One step: its randomness, and what it does when a gradient is not finite."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import ToyTask

from adiff_jax.runtime.sharding import make_mesh
from adiff_jax.train.state import TrainState, create_state
from adiff_jax.train.step import make_step

BATCH = {"image": np.random.default_rng(0).uniform(-1, 1, (4, 4, 4, 3)).astype(np.float32)}


@pytest.fixture(scope="module")
def step() -> Callable:
    return jax.jit(make_step(optax.sgd(0.1), ema_decay=0.9))


@pytest.fixture(scope="module")
def state() -> TrainState:
    return create_state(ToyTask(), optax.sgd(0.1), 0, BATCH, make_mesh({}, jax.devices()[:1]))


def test_moves_weights_against_the_gradient(step: Callable, state: TrainState) -> None:
    new, metrics = step(ToyTask(), state, BATCH)
    keys = jax.random.split(jax.random.fold_in(state.key, 0), 4)
    (loss, _), gradient = jax.value_and_grad(ToyTask().loss, has_aux=True)(state.params, BATCH, keys)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-6)
    np.testing.assert_allclose(metrics["gradient_norm"], jnp.linalg.norm(gradient["gain"]), rtol=1e-6)
    np.testing.assert_allclose(new.params["gain"], state.params["gain"] - 0.1 * gradient["gain"], rtol=1e-6)
    assert new.step == 1


def test_noise_follows_from_the_step_alone(step: Callable, state: TrainState) -> None:
    _, first = step(ToyTask(), state, BATCH)
    _, same = step(ToyTask(), state, BATCH)
    _, later = step(ToyTask(), state.replace(step=state.step + 1), BATCH)
    assert first["loss"] == same["loss"] != later["loss"]


def test_a_step_that_is_not_finite_changes_no_weights(step: Callable, state: TrainState) -> None:
    poisoned = ToyTask(poison=1.0)
    new, metrics = step(poisoned, state, BATCH)
    assert not np.isfinite(metrics["loss"])
    np.testing.assert_array_equal(new.params["gain"], state.params["gain"])
    np.testing.assert_array_equal(new.ema["gain"], state.ema["gain"])
    assert (new.step, new.skipped) == (1, 1)
    twice, _ = step(poisoned, new, BATCH)
    assert twice.skipped == 2
    well, _ = step(ToyTask(), twice, BATCH)
    assert well.skipped == 0


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_gives_the_same_step(step: Callable, state: TrainState, parts: int) -> None:
    whole, metrics = step(ToyTask(), state, BATCH)
    in_parts, part_metrics = jax.jit(make_step(optax.sgd(0.1), 0.9, accumulate=parts))(ToyTask(), state, BATCH)
    for name in metrics:  # float32 sums in another order
        np.testing.assert_allclose(part_metrics[name], metrics[name], rtol=1e-6)
    np.testing.assert_allclose(in_parts.params["gain"], whole.params["gain"], rtol=1e-6)


def test_noise_of_an_example_does_not_depend_on_the_others() -> None:
    keys = jax.random.split(jax.random.key(0), 4)
    whole = ToyTask().loss({"gain": jnp.ones((1, 3))}, BATCH, keys)[0]
    halves = [
        ToyTask().loss({"gain": jnp.ones((1, 3))}, {"image": BATCH["image"][i : i + 2]}, keys[i : i + 2])[0]
        for i in (0, 2)
    ]
    np.testing.assert_allclose(np.mean(halves), whole, rtol=1e-6)
