"""Flash attention on TPUs: JAX's splash kernel in Pallas, on a mesh."""

import functools
import math

import jax
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel, splash_attention_mask
from jaxtyping import Array, Float

from adiff_jax.models.axes import BATCH, HEADS, divisible_spec

BLOCK = 512  # tokens of a tile, at most


def splash_attention(
    query: Float[Array, "B N heads d"],
    key: Float[Array, "B M heads d"],
    value: Float[Array, "B M heads d"],
    *,
    interpret: bool,
) -> Float[Array, "B N heads d"]:
    """Attention without a mask, whose weights never reach memory; N and M are multiples of 128.

    XLA cannot divide a Pallas kernel among devices. On a mesh, each device is therefore given its samples and heads, by
    the rules in force for these logical axes.

    Args:
        query: one vector a token and head, as `key` and `value`.
        key: see `query`.
        value: see `query`.
        interpret: run it as ordinary operations, on any platform, slowly.
    """
    run = functools.partial(_on_one_device, interpret=interpret)
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.size > 1:
        spec = divisible_spec((BATCH, None, HEADS, None), query.shape, mesh)
        run = jax.shard_map(run, in_specs=(spec,) * 3, out_specs=spec, check_vma=False)
    return run(query, key, value)


def _on_one_device(query, key, value, interpret):
    (tokens, heads, dim), keys = query.shape[1:], key.shape[1]
    block_q, block_kv = math.gcd(tokens, BLOCK), math.gcd(keys, BLOCK)
    kernel = splash_attention_kernel.make_splash_mha(
        splash_attention_mask.MultiHeadMask([splash_attention_mask.FullMask((tokens, keys))] * heads),
        block_sizes=splash_attention_kernel.BlockSizes(
            block_q=block_q,
            block_kv=block_kv,
            block_q_dkv=block_q,
            block_kv_dkv=block_kv,
            use_fused_bwd_kernel=True,
        ),
        head_shards=1,
        q_seq_shards=1,
        interpret=interpret,
    )
    heads_first = (x.swapaxes(1, 2) for x in (query * dim**-0.5, key, value))
    return jax.vmap(kernel)(*heads_first).swapaxes(1, 2)
