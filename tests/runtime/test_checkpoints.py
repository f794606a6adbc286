"""Checkpoints: what comes back, how many stay, and what an unfinished save leaves."""

from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.runtime.checkpoints import Checkpoints, Keep


def numbers() -> grain.DatasetIterator:
    return iter(grain.MapDataset.range(100).seed(3).shuffle().repeat().to_iter_dataset())


def state(value: float) -> dict:
    return {"key": jax.random.key(7), "step": jnp.int32(value), "weights": {"a": jnp.full((2, 3), value)}}


def abstract() -> dict:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state(0))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    batches = numbers()
    checkpoints = Checkpoints(tmp_path)
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


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (Keep(last=1), [6]),
        (Keep(last=1, every=2), [2, 4, 6]),
        (Keep(last=1, best=1), [3, 6]),
        (Keep(last=2, every=4, best=1, metric="error"), [2, 4, 5, 6]),
    ],
)
def test_what_is_kept(tmp_path: Path, keep: Keep, left: list[int]) -> None:
    losses = [5.0, 4.0, 1.0, float("nan"), 3.0, 2.0]
    batches = numbers()
    for step, loss in enumerate(losses, start=1):
        checkpoints = Checkpoints(tmp_path, keep)  # what is known of older ones is on disk
        scalars = {"loss": loss, "error": -loss} if step > 1 else {}  # before the first log line there are none
        checkpoints.save(step, {"w": jnp.zeros(())}, batches, {}, scalars)
        checkpoints.close()
    assert Checkpoints(tmp_path, keep).steps == left


def test_best_by_a_scalar_that_there_is_not_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'psnr' is none of loss"):
        Checkpoints(tmp_path, Keep(best=1, metric="psnr")).save(1, state(1), numbers(), {}, {"loss": 1.0})


@pytest.mark.parametrize("options", [{"last": 0}, {"every": -1}, {"best": -1}])
def test_impossible_numbers_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        Keep(**options)


def test_read_only_leaves_everything_as_it_is(saved: Path) -> None:
    (saved / "4.orbax-checkpoint-tmp").mkdir()
    before = sorted(saved.rglob("*"))
    other = Checkpoints(saved, Keep(last=1), read_only=True)
    assert other.restore(abstract(), numbers())["step"] == 3
    other.close()
    assert sorted(saved.rglob("*")) == before
    with pytest.raises(ValueError, match="no checkpoint in"):
        Checkpoints(saved / "absent", read_only=True)
    assert not (saved / "absent").exists()


def test_the_position_in_the_data_is_that_of_any_process(saved: Path) -> None:
    position = saved / "3" / "batches" / "process_0-of-1.json"
    position.rename(position.with_name("process_3-of-4.json"))
    batches, undisturbed = numbers(), numbers()
    Checkpoints(saved).restore(abstract(), batches)
    assert next(batches) == [next(undisturbed) for _ in range(4)][3]
