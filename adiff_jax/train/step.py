"""One training step: a pure function of task, state and batch."""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from adiff_jax.train.state import TrainState, update_ema
from adiff_jax.train.task import Batch, Params, Task

Metrics = Mapping[str, Float[Array, ""]]


def make_step(
    optimizer: optax.GradientTransformation, ema_decay: float, accumulate: int = 1
) -> Callable[[Task, TrainState, Batch], tuple[TrainState, Metrics]]:
    """The step to be jitted; donate its state.

    The randomness of an example is the root key folded with the step's number and the example's place in the batch: it
    does not depend on what ran before, on the mesh, or on `accumulate`. A step with a loss or gradient that is not
    finite changes no weights and is counted in `skipped`.

    Args:
        optimizer: moves the parameters.
        ema_decay: of the average of the weights.
        accumulate: parts that a batch is computed in, one after the other, to the same gradient but for rounding; the
            batch must be a multiple of this times the devices along `data` and `fsdp`.
    """

    def step(task: Task, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        size = len(jax.tree.leaves(batch)[0])
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), size)
        loss, metrics, gradient = mean_gradient(task, state.params, batch, keys, accumulate)
        norm = optax.tree.norm(gradient)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)

        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = update_ema(state.ema, params, state.step, ema_decay)
        moved = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (params, opt_state, ema),
            (state.params, state.opt_state, state.ema),
        )
        state = TrainState(
            step=state.step + 1,
            skipped=jnp.where(finite, 0, state.skipped + 1),
            params=moved[0],
            opt_state=moved[1],
            ema=moved[2],
            key=state.key,
        )
        return state, {"loss": loss, "gradient_norm": norm, **metrics}

    return step


def mean_gradient(
    task: Task, params: Params, batch: Batch, keys: PRNGKeyArray, parts: int
) -> tuple[Float[Array, ""], Metrics, Params]:
    """Loss, metrics and gradient, means over `parts` parts of the batch that are computed one after the other."""
    compute = jax.value_and_grad(task.loss, has_aux=True)
    if parts == 1:
        (loss, metrics), gradient = compute(params, batch, keys)
        return loss, metrics, gradient

    def divide(leaf):
        # Every part takes some rows of each device, so that all work on all parts and no row moves.
        leaf = jnp.moveaxis(leaf.reshape(-1, parts, *leaf.shape[1:]), 1, 0)
        return nn.with_logical_constraint(leaf, (None, "batch", *(None,) * (leaf.ndim - 2)))

    def add(total, part):
        result = compute(params, *part)
        return jax.tree.map(lambda old, new: old + new.astype(old.dtype), total, result), None

    xs = jax.tree.map(divide, (batch, keys))
    shapes = jax.eval_shape(compute, params, *jax.tree.map(lambda leaf: leaf[0], xs))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), shapes)
    total, _ = jax.lax.scan(add, zeros, xs)
    (loss, metrics), gradient = jax.tree.map(lambda leaf, like: (leaf / parts).astype(like.dtype), total, shapes)
    return loss, metrics, gradient
