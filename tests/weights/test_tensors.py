"""Trees come back as they went, and whatever does not fit is named."""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.weights.tensors import WeightsError, load_tensors, save_tensors


def tree(seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "block": {"kernel": rng.standard_normal((3, 5)).astype(np.float32), "bias": np.zeros(5, np.float32)},
        "scale": np.float32(2.5),
    }


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_round_trip(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "model.safetensors"
    save_tensors(path, tree(), dtype)
    loaded = load_tensors(path, jax.eval_shape(lambda: jax.tree.map(jnp.asarray, tree())))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b.astype(dtype)), loaded, tree())
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(loaded))
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_float16_halves_the_file(tmp_path: Path) -> None:
    params = {"kernel": np.ones((256, 256), np.float32)}
    sizes = []
    for dtype in ("float32", "float16"):
        save_tensors(tmp_path / "model.safetensors", params, dtype)
        sizes.append((tmp_path / "model.safetensors").stat().st_size)
    assert sizes[1] < 0.51 * sizes[0]


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    save_tensors(tmp_path / "model.safetensors", tree())
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_partitioning_boxes_are_taken_off(tmp_path: Path) -> None:
    boxed = {"kernel": nn.Partitioned(jnp.ones((2, 3)), names=("embed", "mlp"))}
    save_tensors(tmp_path / "model.safetensors", boxed)
    loaded = load_tensors(tmp_path / "model.safetensors", boxed)
    np.testing.assert_array_equal(loaded["kernel"], np.ones((2, 3)))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_what_the_file_cannot_hold_is_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(WeightsError, match="tensor block/kernel has values that are not finite in float16"):
        save_tensors(tmp_path / "model.safetensors", {"block": {"kernel": np.full(3, value, np.float32)}}, "float16")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["block"].pop("bias"), "missing tensor block/bias"),
        (lambda t: t["block"].update(gain=np.ones(5, np.float32)), "no place for tensor block/gain"),
        (lambda t: t["block"].update(kernel=np.ones((5, 3), np.float32)), r"block/kernel has shape \(5, 3\).*\(3, 5\)"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(tmp_path: Path, change, message: str) -> None:
    stored = tree()
    change(stored)
    save_tensors(tmp_path / "model.safetensors", stored)
    with pytest.raises(WeightsError, match=message):
        load_tensors(tmp_path / "model.safetensors", tree())


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    save_tensors(tmp_path / "model.safetensors", {"a": np.ones(1, np.float32)})
    wanted = {"a": np.ones(1, np.float32), **{f"b{i}": np.ones(1, np.float32) for i in range(9)}}
    with pytest.raises(WeightsError, match="missing tensors b0, b1, b2, b3, b4 and 4 more"):
        load_tensors(tmp_path / "model.safetensors", wanted)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no weights at .*absent\.safetensors"):
        load_tensors(tmp_path / "absent.safetensors", tree())
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(WeightsError, match=r"text\.safetensors is not a readable safetensors file"):
        load_tensors(tmp_path / "text.safetensors", tree())
