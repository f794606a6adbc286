"""What a function of arrays costs, from its trace alone: nothing is computed, and no device is needed."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr


def count_flops(function: Callable[..., Any], *args: Any) -> int:
    """Floating-point operations of the matrix products and convolutions of `function(*args)`, two a multiply-add.

    A loop counts as often as it turns. Of branches, such as one a platform, the most expensive counts. A kernel that
    XLA does not see into counts as nothing.

    Args:
        function: what to trace.
        args: arrays or `jax.ShapeDtypeStruct`, nested as the function takes them.
    """
    return _flops(jax.make_jaxpr(function)(*args).jaxpr)


def kept_bytes(function: Callable[..., Any], params: Any, *args: Any) -> int:
    """Memory of what the gradient of `function(params, *args)` by `params` keeps from the forward pass, beside them.

    Args:
        function: what to trace.
        params: what is differentiated by; arrays or `jax.ShapeDtypeStruct`, as are `args`.
        args: the other arguments.
    """

    def backward(params, *args):
        return jax.vjp(lambda params: function(params, *args), params)[1]

    closed = jax.make_jaxpr(backward)(params, *args)
    given = {id(variable) for variable in closed.jaxpr.invars}
    kept = {id(variable): variable.aval for variable in closed.jaxpr.outvars if id(variable) not in given}
    return sum(aval.size * aval.dtype.itemsize for aval in kept.values())


def _flops(jaxpr: Jaxpr) -> int:
    return sum(_flops_of_equation(equation) for equation in jaxpr.eqns)


def _flops_of_equation(equation: Any) -> int:
    match equation.primitive.name:
        case "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            return 2 * equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
        case "conv_general_dilated":
            kernel, output = equation.invars[1].aval, equation.outvars[0].aval
            features = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
            return 2 * output.size * (kernel.size // features)
        case "cond":
            return max(map(_flops, _inner(equation.params["branches"])))
        case "scan":
            return equation.params["length"] * sum(map(_flops, _inner(equation.params)))
        case "pallas_call":
            return 0
        case _:
            return sum(map(_flops, _inner(equation.params)))


def _inner(params: Any) -> Iterator[Jaxpr]:
    """The traces that the parameters of an equation hold."""
    for value in params.values() if isinstance(params, dict) else params:
        if isinstance(value, ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, Jaxpr):
            yield value
        elif isinstance(value, tuple | list):
            yield from _inner(value)
