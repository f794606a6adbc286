import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from adiff_jax.models.axes import EMBED, HIDDEN
from adiff_jax.models.gather import gather

# A process of its own, since the number of CPU devices is set before JAX starts.
FOUR_DEVICES = """
import re
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from adiff_jax.models.layers import Linear, stack_layers
from adiff_jax.runtime.sharding import batch_sharding, make_mesh, on_mesh, state_sharding

class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        # As in the transformer: a kernel of more than two axes, one of which `fsdp` divides, and one that nothing does.
        y = nn.tanh(Linear((3, 4), ("embed", None, "heads"), name="wide")(x))
        y = nn.tanh(Linear((7,), (None, None), name="odd")(y.reshape(*x.shape[:-1], -1)))
        return x + Linear((8,), ("mlp", "embed"), name="back")(y), None

model = stack_layers(Block, 2, unroll=False, remat=True)()
x = jax.random.normal(jax.random.key(0), (8, 8))
boxed = jax.jit(model.init)(jax.random.key(1), x)
params = nn.unbox(boxed)
compute = jax.value_and_grad(lambda params, x: jnp.mean(jnp.square(model.apply(params, x)[0])))
expected = jax.jit(compute)(params, x)

mesh = make_mesh({"fsdp": 4})
shardings = state_sharding(mesh, boxed)
with on_mesh(mesh):
    step = jax.jit(compute, in_shardings=(shardings, batch_sharding(mesh)), out_shardings=(None, shardings))
    found = step(params, x)
    lowered = step.lower(params, x)
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), found, expected)
assert "sharding_constraint" in lowered.as_text()
shapes = re.findall(r"= f32\\[1,([\\d,]+)\\]\\S* all-gather\\(", lowered.compile().as_text())
# Twice each, in the forward loop and in the backward loop, where recomputation and gradient share what was gathered.
assert sorted(shapes) == sorted(2 * ["8,3,4", "7,8"]), shapes
"""


def test_it_changes_nothing_where_there_is_no_mesh() -> None:
    kernel = jax.random.normal(jax.random.key(0), (4, 6))
    value, gradient = jax.value_and_grad(lambda kernel: jnp.sum(jnp.sin(gather(kernel, (EMBED, HIDDEN)))))(kernel)
    np.testing.assert_array_equal(value, jnp.sum(jnp.sin(kernel)))
    np.testing.assert_array_equal(gradient, jnp.cos(kernel))


def test_each_pass_gathers_a_kernel_once(root: Path) -> None:
    environ = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",
        "PYTHONPATH": str(root),
    }
    run = subprocess.run([sys.executable, "-c", FOUR_DEVICES], env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
