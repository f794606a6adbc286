"""The training state, the optimiser that moves it, and its birth in place on the mesh."""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from adiff_jax.runtime.sharding import state_sharding
from adiff_jax.train.task import Params, Task

KERNEL = jax.tree_util.DictKey("kernel")


@flax.struct.dataclass
class TrainState:
    """Everything that a step reads and writes, and a checkpoint holds.

    Attributes:
        step: steps done.
        skipped: steps skipped one after the other, up to now, because the gradient was not finite.
        params: trained weights.
        opt_state: the optimiser's.
        ema: exponential moving average of `params`, float32.
        key: the run's root key; never split, only folded.
    """

    step: Int[Array, ""]
    skipped: Int[Array, ""]
    params: Params
    opt_state: optax.OptState
    ema: Params
    key: PRNGKeyArray


def make_schedule(config: ml_collections.ConfigDict, steps: int) -> optax.Schedule:
    """Learning rate by step: linear warm-up, then `constant`, or `cosine` to zero over the rest of `steps`.

    Args:
        config: with `learning_rate`, `warmup_steps` and `schedule`.
        steps: length of the run.

    Raises:
        ValueError: if the schedule is unknown.
    """
    rate, warmup = config.learning_rate, config.warmup_steps
    match config.schedule:
        case "constant":
            after = optax.constant_schedule(rate)
        case "cosine":
            after = optax.cosine_decay_schedule(rate, max(steps - warmup, 1))
        case _:
            raise ValueError(f"schedule {config.schedule!r} is none of constant, cosine")
    if warmup == 0:  # optax takes an empty warm-up for one that never ends
        return after
    return optax.join_schedules([optax.linear_schedule(rate / warmup, rate, warmup), after], [warmup])


def make_optimizer(config: ml_collections.ConfigDict, steps: int) -> optax.GradientTransformation:
    """AdamW after clipping by the global norm; leaves named `kernel` decay, not biases, scales and embeddings.

    Args:
        config: with `b1`, `b2`, `weight_decay`, `clip_norm`, and what `make_schedule` reads.
        steps: length of the run.
    """
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(
            make_schedule(config, steps),
            b1=config.b1,
            b2=config.b2,
            weight_decay=config.weight_decay,
            mask=functools.partial(jax.tree.map_with_path, lambda path, _: KERNEL in path),
        ),
    )


def new_state(
    task: Task, optimizer: optax.GradientTransformation, seed: int, batch: Mapping[str, jax.ShapeDtypeStruct]
) -> TrainState:
    """The state at step 0, its weights in Linen's boxes with the names of their axes."""
    key = jax.random.key(seed)
    params = task.init(jax.random.fold_in(key, 0), batch)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        ema=jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params),
        key=jax.random.fold_in(key, 1),
    )


def boxed_state(
    task: Task, optimizer: optax.GradientTransformation, seed: int, batch: Mapping[str, jax.ShapeDtypeStruct]
) -> PyTree[jax.ShapeDtypeStruct]:
    """Shapes and types of `new_state`, in their boxes: what meshes and shardings are chosen by. Computes nothing."""
    return jax.eval_shape(functools.partial(new_state, task, optimizer, seed, batch))


def create_state(
    task: Task,
    optimizer: optax.GradientTransformation,
    seed: int,
    batch: Mapping[str, jax.ShapeDtypeStruct],
    mesh: Mesh,
) -> TrainState:
    """The state at step 0, without boxes, every leaf made where the sharding rules put it."""
    make = functools.partial(new_state, task, optimizer, seed, batch)
    shardings = state_sharding(mesh, boxed_state(task, optimizer, seed, batch))
    # Optimising random initialisers for the CPU takes minutes, and they run once.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(lambda: unboxed(make()), out_shardings=shardings, compiler_options=options)()


def unboxed(tree: PyTree) -> PyTree:
    """The tree without Linen's boxes. `nn.unbox` would constrain every leaf, also where axes do not divide it."""
    is_box = lambda leaf: isinstance(leaf, nn.LogicallyPartitioned)  # noqa: E731
    return jax.tree.map(lambda leaf: leaf.value if is_box(leaf) else leaf, tree, is_leaf=is_box)


def abstract_state(boxed: PyTree, mesh: Mesh) -> PyTree[jax.ShapeDtypeStruct]:
    """Shapes, types and shardings of the state that `create_state` makes: what a checkpoint is restored into.

    Args:
        boxed: of `boxed_state`.
        mesh: where it is to lie.
    """
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        unboxed(boxed),
        state_sharding(mesh, boxed),
    )


def update_ema(ema: Any, params: Any, step: Int[Array, ""], decay: float) -> Any:
    """The average after one more step; its decay warms up as (1 + step) / (10 + step), so that early weights fade."""
    decay = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda old, new: old + (1.0 - decay) * (new.astype(jnp.float32) - old), ema, params)
