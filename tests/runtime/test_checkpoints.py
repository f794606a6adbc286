"""Checkpoints: what comes back, how many stay, and what an unfinished save leaves."""

from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.runtime.checkpoints import Checkpoints


def numbers() -> grain.DatasetIterator:
    return iter(grain.MapDataset.range(100).seed(3).shuffle().repeat().to_iter_dataset())


def state(value: float) -> dict:
    return {"key": jax.random.key(7), "step": jnp.int32(value), "weights": {"a": jnp.full((2, 3), value)}}


def abstract() -> dict:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state(0))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    batches = numbers()
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (1, 2, 3):
        next(batches)
        checkpoints.save(step, state(step), batches, {"seed": 0})
    checkpoints.close()
    return tmp_path


def test_state_and_place_in_the_data_come_back(saved: Path) -> None:
    batches = numbers()
    restored = Checkpoints(saved).restore(abstract(), batches)
    np.testing.assert_array_equal(restored["weights"]["a"], np.full((2, 3), 3.0))
    assert restored["step"] == 3
    np.testing.assert_array_equal(jax.random.key_data(restored["key"]), jax.random.key_data(jax.random.key(7)))
    undisturbed = numbers()
    assert [next(batches) for _ in range(3)] == [next(undisturbed) for _ in range(6)][3:]


def test_the_newest_stay(saved: Path) -> None:
    assert Checkpoints(saved).latest == 3
    assert sorted(path.name for path in saved.iterdir() if path.name.isdigit()) == ["2", "3"]


def test_the_config_can_be_read_without_a_program(saved: Path) -> None:
    assert '"seed": 0' in (saved / "3" / "config" / "metadata").read_text()


def test_an_unfinished_save_is_passed_over(saved: Path) -> None:
    (saved / "4.orbax-checkpoint-tmp").mkdir()
    assert Checkpoints(saved).latest == 3


def test_another_shape_is_an_error(saved: Path) -> None:
    other = abstract()
    other["weights"]["a"] = jax.ShapeDtypeStruct((5, 3), jnp.float32)
    with pytest.raises(ValueError, match=r"another config: weights/a has shape \(2, 3\) there, \(5, 3\) here"):
        Checkpoints(saved).restore(other, numbers())


def test_nothing_to_restore_is_an_error(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest is None
    with pytest.raises(ValueError, match="no checkpoint in"):
        checkpoints.restore(abstract(), numbers())
