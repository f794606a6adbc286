"""Every attention kernel is the reference, in value and gradient; those of accelerators are interpreted or lowered."""

import dataclasses
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.models import attention as module
from adiff_jax.models.attention import KERNELS, attention, best_kernel
from adiff_jax.models.sdit import SDiT, SDiTConfig
from adiff_jax.types import Conditioning
from adiff_jax.weights.bundle import read_config, write_config

on_gpu = pytest.mark.skipif(jax.default_backend() != "gpu", reason="cuDNN needs a GPU")


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def arrays(queries, keys, heads, dim):
    return normal(0, 2, queries, heads, dim), normal(1, 2, keys, heads, dim), normal(2, 2, keys, heads, dim)


def value_and_gradient(kernel, arrays, mask=None):
    loss = lambda *arrays: jnp.sum(jnp.sin(attention(*arrays, mask, kernel).astype(jnp.float32)))  # noqa: E731
    return jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(*arrays)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("tokens", [7, 12])
@pytest.mark.parametrize("kernel", ["auto", "by_head"])
def test_kernels_with_a_mask(kernel, tokens, causal):
    mask = jnp.tril(jnp.ones((tokens, tokens), bool)) if causal else None
    given = arrays(tokens, tokens, 3, 4)
    ours, reference = (value_and_gradient(name, given, mask) for name in (kernel, "xla"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), ours, reference)  # float32 rounding


@pytest.mark.parametrize(("queries", "keys", "dim"), [(128, 256, 72), (384, 128, 8)])
@pytest.mark.parametrize("kernel", ["splash", "by_head"])
def test_kernels_without_a_mask(kernel, queries, keys, dim):
    given = arrays(queries, keys, 2, dim)
    ours, reference = (value_and_gradient(name, given) for name in (kernel, "xla"))
    np.testing.assert_allclose(ours[0], reference[0], rtol=1e-4)  # a sum of thousands of terms in float32
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), ours[1], reference[1])


@on_gpu
@pytest.mark.parametrize("tokens", [77, 1024])
def test_cudnn(tokens):
    given = [array.astype(jnp.bfloat16) for array in arrays(tokens, tokens, 2, 72)]
    ours, reference = (value_and_gradient(name, given)[1] for name in ("cudnn", "xla"))
    for a, b in zip(ours, reference):
        assert jnp.linalg.norm(a - b) < 2e-2 * jnp.linalg.norm(b)  # 8 bits of mantissa


@pytest.mark.parametrize("kernel", ["auto", "by_head", "xla"])
def test_large_logits(kernel):
    query = 1e3 * normal(0, 1, 4, 1, 8)
    assert jnp.isfinite(attention(query, query, query, kernel=kernel)).all()


@pytest.mark.parametrize(
    ("platform", "tokens", "dim", "dtype", "masked", "kernel"),
    [
        ("cpu", 64, 64, "float32", False, "xla"),
        ("cpu", 256, 64, "float32", True, "by_head"),
        ("gpu", 1024, 72, "bfloat16", False, "cudnn"),
        ("gpu", 257, 64, "float16", False, "cudnn"),
        ("gpu", 1024, 72, "float32", False, "xla"),
        ("gpu", 1024, 512, "bfloat16", False, "xla"),
        ("gpu", 1024, 72, "bfloat16", True, "xla"),
        ("tpu", 1024, 72, "bfloat16", False, "splash"),
        ("tpu", 1024, 72, "float32", False, "splash"),
        ("tpu", 257, 64, "bfloat16", False, "xla"),
        ("tpu", 128, 64, "bfloat16", True, "xla"),
        ("rocm", 1024, 72, "bfloat16", False, "xla"),
    ],
)
def test_auto_suits_platform_and_shape(platform, tokens, dim, dtype, masked, kernel):
    array = jax.ShapeDtypeStruct((1, tokens, 2, dim), dtype)
    mask = jax.ShapeDtypeStruct((tokens, tokens), bool) if masked else None
    assert best_kernel(platform, array, array, mask) == kernel


def test_splash_lowers_for_a_tpu(monkeypatch):
    monkeypatch.setattr(module, "platform", lambda: "tpu")
    gradient = jax.jit(jax.grad(lambda *arrays: jnp.sum(attention(*arrays)), (0, 1, 2)))
    text = gradient.trace(*arrays(256, 256, 2, 72)).lower(lowering_platforms=("tpu",)).as_text()
    assert text.count("tpu_custom_call") == 2  # forward, and both gradients in one


@pytest.mark.parametrize(
    ("kernel", "tokens", "masked", "message"),
    [
        ("flash", 128, False, "'flash' is none of auto, xla"),
        ("splash", 100, False, "multiples of 128 tokens without a mask, not 100 and 100 tokens: choose auto"),
        ("splash", 128, True, "not 128 and 128 tokens with one: choose auto"),
        pytest.param(
            "cudnn",
            128,
            False,
            "runs on GPUs, not on cpu",
            marks=pytest.mark.skipif(jax.default_backend() != "cpu", reason="it may run here"),
        ),
    ],
)
def test_what_cannot_run_is_refused(kernel, tokens, masked, message):
    mask = jnp.ones((tokens, tokens), bool) if masked else None
    with pytest.raises(ValueError, match=message):
        attention(*arrays(tokens, tokens, 1, 8), mask, kernel)


CONFIG = SDiTConfig(in_channels=3, input_size=16, num_frames=2, depth=2, width=16, num_heads=2, clip_dim=5)


def test_a_model_takes_its_kernel_from_its_config():
    z = normal(0, 1, 2, 16, 16, 3)
    given = z, jnp.ones(1), Conditioning.create(normal(1, 1, 5), normal(2, 1, 2, 478, 2))
    params = jax.tree.map(
        lambda leaf: 0.2 * jax.random.normal(jax.random.key(leaf.size), leaf.shape),
        jax.eval_shape(SDiT(CONFIG).init, jax.random.key(0), *given),
    )

    def output(kernel):
        return jax.jit(SDiT(dataclasses.replace(CONFIG, attention_kernel=kernel)).apply)(params, *given)

    np.testing.assert_allclose(output("splash"), output("xla"), atol=1e-4)  # float32 rounding


def test_the_option_is_checked_and_kept(tmp_path):
    for options in ({"attention_kernel": "flash"}, {"attention_kernel": "xla", "attention": "factorised"}):
        with pytest.raises(ValueError, match="attention_kernel"):
            dataclasses.replace(CONFIG, **options)
    assert all(dataclasses.replace(CONFIG, attention_kernel=kernel) for kernel in KERNELS)
    config = dataclasses.replace(CONFIG, attention_kernel="xla")
    write_config(tmp_path, config)
    assert read_config(tmp_path, SDiTConfig) == config


SHARDED = """
    import jax, jax.numpy as jnp, numpy as np
    from adiff_jax.models.attention import attention
    from adiff_jax.runtime.sharding import make_mesh, on_mesh

    for batch in (4, 1):  # one sample, as in `init`, cannot be divided, and is computed everywhere
        arrays = [jax.random.normal(jax.random.key(i), (batch, 128, 2, 8)) for i in range(3)]

        def gradient(kernel):
            return jax.jit(jax.grad(lambda *qkv: jnp.sum(jnp.sin(attention(*qkv, kernel=kernel))), (0, 1, 2)))

        with on_mesh(make_mesh({"fsdp": 2, "tensor": 2})):
            compiled = gradient("splash").lower(*arrays).compile()
        assert "all-gather" not in compiled.as_text()
        for ours, expected in zip(compiled(*arrays), gradient("xla")(*arrays)):
            np.testing.assert_allclose(ours, expected, atol=1e-5)  # float32 rounding
"""


def test_splash_on_a_mesh(root: Path):
    environ = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(root),
    }
    command = [sys.executable, "-c", textwrap.dedent(SHARDED)]
    run = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
