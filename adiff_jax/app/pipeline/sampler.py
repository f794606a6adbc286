"""The compiled programs of sampling: one chunk, several chunks on the devices of a mesh, or a whole video."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, Key

from adiff_jax.app.options import SamplingOptions
from adiff_jax.app.progress import tell
from adiff_jax.diffusion.guidance import guided
from adiff_jax.diffusion.process import Process
from adiff_jax.models.sdit import SDiT, SDiTConfig
from adiff_jax.sampling.anchored import anchored
from adiff_jax.sampling.baselines import multidiffusion
from adiff_jax.sampling.chunks import Chunk
from adiff_jax.sampling.groups import Plan
from adiff_jax.sampling.loop import Given, sample
from adiff_jax.sampling.steps import DDIM, DDPM, DPMSolverPlusPlus2M, Solver
from adiff_jax.sampling.streaming import sample_chunk
from adiff_jax.types import Conditioning, Denoiser
from adiff_jax.weights.tensors import Params

GROUP = "group"


@struct.dataclass
class Request:
    """What a chunk, or a video, is sampled from.

    Attributes:
        landmarks: of its frames.
        start: latents to start from, if it is an edit.
        given: frames that are known, if there are any.
        chunk: which frames, in which groups; None for a whole video.
        plan: of a whole video, by anchored sampling.
    """

    landmarks: Float[Array, "M K 2"]
    start: Float[Array, "M h w c"] | None = None
    given: Given | None = None
    chunk: Chunk | None = None
    plan: Plan | None = None


def solver_of(settings: SamplingOptions) -> Solver:
    """The solver that the options name."""
    match settings.solver:
        case "ddim":
            return DDIM(settings.eta)
        case "ddpm":
            return DDPM()
        case "dpm++":
            return DPMSolverPlusPlus2M(settings.eta)


@functools.partial(jax.jit, static_argnames=("config", "settings", "strength", "mesh"))
def sample_request(
    config: SDiTConfig,
    params: Params,
    process: Process,
    key: Key[Array, ""],
    embedding: Float[Array, "E"],
    request: Request,
    known: Float[Array, "N K h w c"] | Float[np.ndarray, "N K h w c"],
    listener: Int[Array, ""] | None = None,
    *,
    settings: SamplingOptions,
    strength: float,
    mesh: Mesh | None = None,
) -> tuple[Float[Array, "*D M h w c"], Float[Array, "*D N K h w c"]]:
    """Samples; `request` and results have a leading axis of devices if there is a mesh.

    `known` is what the chunk before kept, and the second result what the next one is told; see `streaming`. For a whole
    video it is what nobody kept.
    """
    shape = (config.input_size, config.input_size, config.in_channels)
    options = {
        "steps": settings.num_inference_steps,
        "solver": solver_of(settings),
        "spacing": settings.spacing,
        "strength": strength,
        "on_step_end": None if listener is None else functools.partial(tell, listener),
    }

    def run(params: Params, request: Request, axis: str | None = None):
        cond = Conditioning.create(embedding[None], request.landmarks[None])
        changing = options | {"start": request.start, "given": request.given}
        denoiser = _denoiser(config, params, process, settings)
        if request.chunk is not None:
            return sample_chunk(denoiser, process, key, cond, request.chunk, known, shape, axis=axis, **changing)
        whole = _whole(denoiser, cond, request, config, settings)
        return sample(whole, process, key, (len(request.landmarks), *shape), **changing), known

    if mesh is None:
        return run(params, request)
    return _side_by_side(functools.partial(run, axis=GROUP), mesh)(params, request)


def _denoiser(config: SDiTConfig, params: Params, process: Process, settings: SamplingOptions) -> Denoiser:
    return guided(
        lambda z_t, t, cond: SDiT(config).apply({"params": params}, z_t, t, cond),
        settings.guidance_clip,
        settings.guidance_landmarks,
        settings.guidance_interval,
        process.schedule.num_steps,
    )


def _whole(denoiser: Denoiser, cond: Conditioning, request: Request, config: SDiTConfig, settings: SamplingOptions):
    """A denoiser of all frames at once, for what does not go in chunks."""
    if settings.method == "multidiffusion":
        return multidiffusion(denoiser, cond, config.num_frames, settings.overlap, settings.group_batch)
    return anchored(denoiser, cond, request.plan, settings.anchor, settings.group_batch)


def _side_by_side(run: Callable, mesh: Mesh) -> Callable:
    """Runs a request a device: requests and results are stacked along a leading axis."""
    here, everywhere = PartitionSpec(GROUP), PartitionSpec()

    def one(params: Params, stacked: Request):
        results = run(params, jax.tree.map(lambda x: x[0], stacked))
        return jax.tree.map(lambda x: jnp.expand_dims(x, 0), results)

    return jax.shard_map(one, mesh=mesh, in_specs=(everywhere, here), out_specs=here, check_vma=False)
