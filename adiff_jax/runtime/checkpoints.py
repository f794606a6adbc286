"""Checkpoints of a run: the training state, the position in the data, and the config, saved together by Orbax."""

from pathlib import Path
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp
from jaxtyping import PyTree


class Checkpoints:
    """The last checkpoints of a run, written in the background.

    A save is whole or absent: Orbax writes aside and renames, so a killed save leaves the one before it.
    """

    def __init__(self, directory: Path, keep: int = 2):
        """Opens or creates `directory`; the newest `keep` checkpoints stay."""
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
        handlers = {
            "state": ocp.StandardCheckpointHandler(),
            "batches": grain.checkpoint.CheckpointHandler(),
            "config": ocp.JsonCheckpointHandler(),
        }
        self._manager = ocp.CheckpointManager(directory.resolve(), options=options, item_handlers=handlers)
        self._directory = directory

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint, None if there is none."""
        return self._manager.latest_step()

    def save(self, step: int, state: PyTree[jax.Array], batches: grain.DatasetIterator, config: dict[str, Any]) -> None:
        """Saves everything that a run continues from. Returns before it is on disk; see `close`."""
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                batches=grain.checkpoint.CheckpointSave(batches),
                config=ocp.args.JsonSave(config),
            ),
        )

    def restore(self, abstract: PyTree[jax.ShapeDtypeStruct], batches: grain.DatasetIterator) -> PyTree[jax.Array]:
        """The newest state, laid out as `abstract` says; moves `batches` to where that run stood.

        Raises:
            ValueError: if there is no checkpoint, or its arrays have other names or shapes than `abstract`.
        """
        step = self.latest
        if step is None:
            raise ValueError(f"no checkpoint in {self._directory}: give the directory of a run that has saved one")
        saved = _shapes(self._manager.item_metadata(step)["state"].tree)
        wanted = _shapes(jax.eval_shape(_with_raw_keys, abstract))
        for name in sorted(saved.keys() | wanted.keys()):
            here, there = wanted.get(name, "none"), saved.get(name, "none")
            if here != there:
                raise ValueError(
                    f"checkpoint {step} in {self._directory} is of another config: {name} has shape {there} there, "
                    f"{here} here"
                )
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(abstract), batches=grain.checkpoint.CheckpointRestore(batches)
        )
        return self._manager.restore(step, args=args)["state"]

    def close(self) -> None:
        """Blocks until every save is on disk, and ends the background threads."""
        self._manager.close()


def _with_raw_keys(tree: PyTree[jax.Array]) -> PyTree[jax.Array]:
    """The tree with its random keys as the integers that are saved of them."""
    is_key = lambda leaf: jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if is_key(leaf) else leaf, tree)


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """Shapes of a tree's arrays by name, the same for a dataclass and for the dictionary that was saved of it."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in leaves}
