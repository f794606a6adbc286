"""Fully sharded parameters: a layer's kernel is gathered where it is used, its gradient scattered where it is made."""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
from jaxtyping import Array

from adiff_jax.models.axes import EMBED, divisible_spec


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def gather(kernel: Array, axes: Sequence[str | None]) -> Array:
    """The kernel, whole along its axis `EMBED` on every device; outside of a mesh the kernel as it is.

    Left alone, the partitioner gathers a kernel anew for each product that it finds it in, in the forward pass, in its
    recomputation and in the backward pass, and sums some gradients whole on every device before it takes the shards.

    Args:
        kernel: in the type of the computation, so that no more than that is sent.
        axes: logical names of its axes.
    """
    return _lay_out(kernel, [None if axis == EMBED else axis for axis in axes])


def _forward(kernel, axes):
    return gather(kernel, axes), None


def _backward(axes, _, gradient):
    return (_lay_out(gradient, axes),)


gather.defvjp(_forward, _backward)


def _lay_out(x, axes):
    """A constraint by the rules in force, without mesh axes that do not divide the array."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.size < 2 or not nn.get_logical_axis_rules():
        return x

    return jax.lax.with_sharding_constraint(x, divisible_spec(axes, x.shape, mesh))
