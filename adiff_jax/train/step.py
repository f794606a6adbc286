"""One training step: a pure function of task, state and batch."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from adiff_jax.train.state import TrainState, update_ema
from adiff_jax.train.task import Batch, Task

Metrics = Mapping[str, Float[Array, ""]]


def make_step(
    optimizer: optax.GradientTransformation, ema_decay: float
) -> Callable[[Task, TrainState, Batch], tuple[TrainState, Metrics]]:
    """The step to be jitted; donate its state.

    The step's randomness is the root key folded with the step's number, so it does not depend on what ran before. A
    step with a loss or gradient that is not finite changes no weights and is counted in `skipped`.
    """

    def step(task: Task, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        (loss, metrics), gradient = jax.value_and_grad(task.loss, has_aux=True)(state.params, batch, key)
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
