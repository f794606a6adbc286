"""The programs that are compiled: the training step, and the anchored sampler with its groups divided among devices.

Everything is abstract: shapes, types and shardings. No array is made, and no weights are read.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from adiff_jax.diffusion.guidance import guided
from adiff_jax.models.autoencoder import AutoencoderConfig
from adiff_jax.models.cost import count_flops
from adiff_jax.models.sdit import SDiT, SDiTConfig
from adiff_jax.runtime.sharding import batch_sharding, make_mesh, on_mesh, pick_mesh, replicated
from adiff_jax.sampling.anchored import anchored
from adiff_jax.sampling.groups import anchored_plan
from adiff_jax.sampling.loop import sample
from adiff_jax.train.state import abstract_state, boxed_state, make_optimizer
from adiff_jax.train.step import make_step
from adiff_jax.train.tasks.sdit import SDiTTask
from adiff_jax.types import NUM_LANDMARKS, Conditioning
from launch.aot.topologies import Topology

BACKWARD = 2  # matrix products of the backward pass for each of the forward pass
GUIDANCE = (1.5, 2.0)  # of the sampler, CLIP and landmarks: three branches


@dataclasses.dataclass(frozen=True)
class Workload:
    """A program for one topology, not yet compiled.

    Attributes:
        title: what it is.
        lower: makes it.
        mesh: devices along each axis.
        arguments: bytes of one device, by what they are.
        model_flops: operations that the mathematics asks for in one run, over all devices.
        minimum_traffic: bytes that a device must send in one run, given how the arrays are divided.
        examples: sequences of a training step, or frames of a sampled video.
        runs: how often it runs in the whole training, or 1.
    """

    title: str
    lower: Callable[[], jax.stages.Lowered]
    mesh: Mapping[str, int]
    arguments: Mapping[str, int]
    model_flops: float
    minimum_traffic: float
    examples: int
    runs: float


def training_step(config: ml_collections.ConfigDict, topology: Topology) -> Workload:
    """The step of `adiff_jax.train` on records that hold latents and CLIP embeddings.

    Raises:
        ValueError: if the config is not of sDiT, or batch and mesh do not fit the devices.
    """
    if config.task != "sdit":
        raise ValueError(f"the config is of {config.task}: give one of sdit, such as configs/sdit.py:xl")
    task = _task(config)
    batch = _batch(task.model.config, config.batch_size)
    optimizer = make_optimizer(config.optimizer, config.steps)
    boxed = boxed_state(task, optimizer, config.seed, batch)
    sizes = pick_mesh(
        len(topology.devices),
        batch_size=config.batch_size // config.accumulate,
        state=boxed,
        memory=topology.chip.memory,
        sizes=config.mesh,
    )
    mesh = make_mesh(sizes, topology.devices)
    state = abstract_state(boxed, mesh)
    task = _placed(task, replicated(mesh))
    batch = _placed(batch, batch_sharding(mesh))

    def lower() -> jax.stages.Lowered:
        shardings = (jax.tree.map(lambda leaf: leaf.sharding, state), replicated(mesh))
        step = make_step(optimizer, config.ema_decay, config.accumulate)
        with on_mesh(mesh, shard_tokens=config.shard_tokens):
            return jax.jit(step, donate_argnums=1, out_shardings=shardings).lower(task, state, batch)

    return Workload(
        title=f"training step, {config.batch_size} sequences of {task.model.config.num_frames} frames",
        lower=lower,
        mesh=sizes,
        arguments={
            "parameters": _device_bytes(state.params),
            "optimiser": _device_bytes(state.opt_state),
            "average of parameters": _device_bytes(state.ema),
            "batch": _device_bytes(batch),
        },
        model_flops=(1 + BACKWARD) * _forward_flops(task.model.config, config.batch_size),
        minimum_traffic=config.accumulate * _gradient_traffic(state.params, task.model.config, mesh),
        examples=config.batch_size,
        runs=config.steps,
    )


def sampler(config: ml_collections.ConfigDict, topology: Topology, steps: int, groups: int = 1) -> Workload:
    """Anchored sampling of one video, with guidance: the paper's plan, and so many groups on every device.

    Args:
        config: of sDiT.
        topology: its devices share the groups.
        steps: denoising steps.
        groups: of each device.
    """
    task, devices = _task(config), len(topology.devices)
    model = task.model.config
    frames = devices * groups * (model.num_frames - 1) + 1
    sizes = {"data": devices, "fsdp": 1, "tensor": 1, "group": 1}  # the groups are the batch of the denoiser
    mesh = make_mesh(sizes, topology.devices)
    shape = (frames, model.input_size, model.input_size, model.in_channels)
    batch = _placed(_batch(dataclasses.replace(model, num_frames=frames), 1), replicated(mesh))
    params = jax.eval_shape(functools.partial(task.init, batch=_batch(model, 1)), jax.random.key(0))
    params = _placed(
        jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, model.dtype), nn.unbox(params)), replicated(mesh)
    )
    plan = jax.tree.map(np.asarray, anchored_plan("contiguous", frames, model.num_frames))
    key = jax.eval_shape(lambda: jax.random.key(0))
    key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=replicated(mesh))

    def run(task: SDiTTask, params: PyTree, batch: Mapping[str, jax.Array], plan: Any, key: jax.Array) -> jax.Array:
        denoise = guided(lambda z, t, cond: task.model.apply({"params": params}, z, t, cond), *GUIDANCE)
        video = anchored(denoise, Conditioning.create(batch["clip"], batch["landmarks"]), plan)
        return sample(video, task.process, key, shape, steps=steps)

    def lower() -> jax.stages.Lowered:
        with on_mesh(mesh):
            return jax.jit(run, out_shardings=replicated(mesh)).lower(
                _placed(task, replicated(mesh)), params, batch, _placed(plan, replicated(mesh)), key
            )

    branches = len(GUIDANCE) + 1
    return Workload(
        title=f"anchored sampling, {frames} frames, {steps} steps, {branches} branches of guidance",
        lower=lower,
        mesh=sizes,
        arguments={"parameters": _device_bytes(params), "conditions": _device_bytes(batch)},
        model_flops=steps * branches * _forward_flops(model, devices * groups),
        # In every step each device needs what the others predict for their frames, in float32.
        minimum_traffic=steps * (devices - 1) / devices * int(np.prod(shape)) * 4,
        examples=frames,
        runs=1,
    )


def _task(config: ml_collections.ConfigDict) -> SDiTTask:
    """The task on encoded records, without the weights of the frozen models, which its step does not use."""
    config = config.copy_and_resolve_references()
    config.data.encoded = True
    autoencoder = AutoencoderConfig(latent_channels=config.model.in_channels)
    return jax.eval_shape(lambda: SDiTTask.of_models(config, autoencoder, None))


def _batch(model: SDiTConfig, size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """What the loader gives of encoded records."""
    side, frames = model.input_size, model.num_frames
    shapes = {
        "moments": (size, frames, side, side, 2 * model.in_channels),
        "clip": (size, model.clip_dim),
        "landmarks": (size, frames, NUM_LANDMARKS, 2),
    }
    return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}


def _forward_flops(model: SDiTConfig, sequences: int) -> float:
    """Of the denoiser, with attention as the two products that define it."""
    plain = SDiT(dataclasses.replace(model, attention_kernel="xla", remat=False))
    batch = _batch(model, 1)
    cond = Conditioning(
        clip=batch["clip"],
        clip_mask=jax.ShapeDtypeStruct((1,), bool),
        landmarks=batch["landmarks"],
        landmarks_mask=jax.ShapeDtypeStruct((1,), bool),
    )
    z_t = jax.ShapeDtypeStruct(
        (1, model.num_frames, model.input_size, model.input_size, model.in_channels), jnp.float32
    )
    t = jax.ShapeDtypeStruct((1,), jnp.float32)
    params = nn.unbox(jax.eval_shape(plain.init, jax.random.key(0), z_t, t, cond))
    return sequences * count_flops(plain.apply, params, z_t, t, cond)


def _gradient_traffic(params: PyTree, model: SDiTConfig, mesh: Mesh) -> float:
    """Bytes that a device sends at least in one step, in the type of the computation.

    Parameters that are divided over `fsdp` are gathered for the forward pass, with rematerialisation once more, and
    their gradients are reduced and scattered; then gradients are summed over what else divides the batch. What `tensor`
    adds is activations, and not counted.
    """
    gathers = 2 if model.remat else 1
    total = 0.0
    for leaf in jax.tree.leaves(params):
        size = int(np.prod(leaf.sharding.shard_shape(leaf.shape))) * jnp.dtype(model.dtype).itemsize
        spec = [axis for axes in leaf.sharding.spec if axes for axis in ((axes,) if isinstance(axes, str) else axes)]
        divided = mesh.shape["fsdp"] if "fsdp" in spec else 1
        total += (gathers + 1) * (divided - 1) * size
        others = mesh.shape["data"] * mesh.shape["fsdp"] // divided
        total += 2 * (others - 1) / others * size
    return total


def _placed(tree: PyTree, sharding: jax.sharding.NamedSharding) -> PyTree[jax.ShapeDtypeStruct]:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)


def _device_bytes(tree: PyTree[jax.ShapeDtypeStruct]) -> int:
    return sum(
        int(np.prod(leaf.sharding.shard_shape(leaf.shape))) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)
    )
