"""The training iterator: one order by seed, whatever the processes and workers, and exact resume."""

import grain
import numpy as np
import pytest

from adiff_jax.data.loader import make_loader
from adiff_jax.data.transforms import autoencoder_transforms, sdit_transforms

TRANSFORMS = autoencoder_transforms()
TRUTH = ("image", "landmarks")


def batches(source, count, *, transforms=TRANSFORMS, seed=0, batch_size=8, state=None, **options):
    """The next `count` batches, and the state after them."""
    iterator = make_loader(source, transforms, batch_size=batch_size, seed=seed, **options)
    try:
        if state is not None:
            iterator.set_state(state)
        return [next(iterator) for _ in range(count)], iterator.get_state()
    finally:
        iterator.close()


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def clip_numbers(batch):
    """Which clip each example shows, by its level of red."""
    red = (batch["frames"][:, 0, 0, 0, 0] + 1) * 127.5
    return ((np.rint(red) - 40) / 2).astype(int)


def test_batches_by_seed(clips):
    first, _ = batches(clips, 4)
    assert {name: value.shape for name, value in first[0].items()} == {
        "image": (8, 32, 32, 3),
        "landmarks": (8, 478, 2),
    }
    assert_same(first, batches(clips, 4, num_threads=1, prefetch=1)[0])
    other, _ = batches(clips, 4, seed=1)
    assert not np.array_equal(first[0]["landmarks"], other[0]["landmarks"])


def test_every_epoch_shows_every_clip_once_in_another_order_and_other_frames(clips):
    shown, _ = batches(clips, 6, transforms=sdit_transforms(2, encoded=False))
    epochs = [np.concatenate([clip_numbers(batch) for batch in shown[start : start + 3]]) for start in (0, 3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(24))
    assert not np.array_equal(*epochs)
    frames = [np.concatenate([batch["frames"][..., 0, 0, 2] for batch in shown[start : start + 3]]) for start in (0, 3)]
    order = [np.argsort(epoch) for epoch in epochs]
    assert not np.array_equal(frames[0][order[0]], frames[1][order[1]])


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_resume_in_the_middle_of_an_epoch_is_exact(clips, steps):
    undisturbed, _ = batches(clips, steps + 3)
    _, state = batches(clips, steps)
    resumed, _ = batches(clips, 3, state=state)
    assert_same(resumed, undisturbed[steps:])


def test_state_goes_through_orbax(clips, tmp_path):
    ocp = pytest.importorskip("orbax.checkpoint")
    undisturbed, _ = batches(clips, 5)
    iterator = make_loader(clips, TRANSFORMS, batch_size=8, seed=0)
    for _ in range(3):
        next(iterator)
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.save(3, args=ocp.args.Composite(data=grain.checkpoint.CheckpointSave(iterator)))
        manager.wait_until_finished()
        iterator.close()
        restored = make_loader(clips, TRANSFORMS, batch_size=8, seed=0)
        manager.restore(3, args=ocp.args.Composite(data=grain.checkpoint.CheckpointRestore(restored)))
    assert_same([next(restored) for _ in range(2)], undisturbed[3:])
    restored.close()


@pytest.mark.parametrize(
    ("before", "after", "workers"), [([range(8)], [range(4), range(4, 8)], 0), ([range(2)], [range(8)], 1)]
)
def test_resume_on_other_machines(clips, before, after, workers):
    undisturbed, _ = batches(clips, 7)
    _, state = batches(clips, 4, rows=before[0])
    parts = [batches(clips, 3, state=state, rows=rows, num_workers=workers)[0] for rows in after]
    together = [{name: np.concatenate([part[step][name] for part in parts]) for name in TRUTH} for step in range(3)]
    assert_same(together, undisturbed[4:])


def test_a_state_of_earlier_versions_is_read(clips):
    undisturbed, _ = batches(clips, 5)
    resumed, _ = batches(clips, 2, state={"next_index": 3})
    assert_same(resumed, undisturbed[3:])
    with pytest.raises(ValueError, match="not the state of a loader"):
        batches(clips, 1, state={"workers_state": {}})


@pytest.mark.parametrize(
    "hosts", [[range(4), range(4, 8)], [[0, 1, 4, 5], [2, 3, 6, 7]], [[0, 7], [3], [1, 2, 4, 5, 6]]]
)
def test_processes_together_see_the_batches_of_one(clips, hosts):
    alone, _ = batches(clips, 5)
    parts = [batches(clips, 5, rows=rows)[0] for rows in hosts]
    order = np.argsort(np.concatenate([np.asarray(rows) for rows in hosts]))
    together = [
        {name: np.concatenate([part[step][name] for part in parts])[order] for name in alone[step]} for step in range(5)
    ]
    assert_same(together, alone)


def test_a_finite_loader_drops_the_rest(clips):
    iterator = make_loader(clips, TRANSFORMS, batch_size=10, seed=0, num_epochs=2)
    assert len(list(iterator)) == 4  # 48 clips
    iterator.close()


def test_errors(clips):
    for rows in ([], [8], [-1, 2]):
        with pytest.raises(ValueError, match="are not of a batch of 8"):
            make_loader(clips, TRANSFORMS, batch_size=8, seed=0, rows=rows)
    with pytest.raises(ValueError, match="24 clips do not fill one batch of 32"):
        make_loader(clips, TRANSFORMS, batch_size=32, seed=0, num_epochs=1)
