"""Checkpoints of a run: the training state, the position in the data, and the config, saved together by Orbax."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp
from etils import epath
from jaxtyping import PyTree
from orbax.checkpoint import checkpoint_managers as managers


@dataclasses.dataclass(frozen=True)
class Keep:
    """Which checkpoints stay when a newer one is there.

    Attributes:
        last: the newest so many.
        every: besides, those of steps that are a multiple of this; 0 for none.
        best: besides, so many with the least `metric`; 0 for none.
        metric: name of a scalar of the run.
    """

    last: int = 2
    every: int = 0
    best: int = 0
    metric: str = "loss"

    def __post_init__(self):
        if self.last < 1 or self.every < 0 or self.best < 0:
            raise ValueError(f"checkpoint.keep must be at least 1, keep_every and best at least 0, not {self}")

    def policy(self) -> managers.PreservationPolicy:
        """As Orbax wants it."""
        policies = [managers.LatestN(self.last)]
        if self.every:
            policies.append(managers.EveryNSteps(self.every))
        if self.best:
            policies.append(
                managers.BestN(
                    get_metric_fn=lambda metrics: metrics[self.metric],
                    reverse=True,
                    n=self.best,
                    keep_checkpoints_without_metrics=False,
                )
            )
        return managers.AnyPreservationPolicy(policies)


class Checkpoints:
    """The checkpoints of a run, on a local or shared disk or in a bucket (`gs://`), written in the background.

    A save is whole or absent: Orbax writes aside and commits at the end, so a killed save leaves the one before it.
    Every process writes its part and must call every method; a state may be restored onto another mesh and by another
    number of processes.
    """

    def __init__(self, directory: epath.PathLike, keep: Keep | None = None, *, read_only: bool = False):
        """Opens or creates `directory`, which all processes must see; `read_only` leaves it exactly as it is.

        Raises:
            ValueError: if it is to be read only, and is not there.
        """
        keep = keep or Keep()
        self._directory = epath.Path(directory)
        if "://" not in str(directory):
            self._directory = self._directory.expanduser().resolve()
        if read_only and not self._directory.exists():
            raise ValueError(f"no checkpoint in {self._directory}: give the directory of a run that has saved one")
        options = ocp.CheckpointManagerOptions(
            preservation_policy=keep.policy(),
            # Orbax writes metrics down only if it is told that there is a best.
            best_fn=(lambda metrics: -metrics[keep.metric]) if keep.best else None,
            cleanup_tmp_directories=not read_only,
            read_only=read_only,
        )
        handlers = {
            "state": ocp.StandardCheckpointHandler(),
            "batches": grain.checkpoint.CheckpointHandler(),
            "config": ocp.JsonCheckpointHandler(),
        }
        self._manager = ocp.CheckpointManager(self._directory, options=options, item_handlers=handlers)
        self._keep = keep

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint, None if there is none."""
        return self._manager.latest_step()

    @property
    def steps(self) -> list[int]:
        """Steps of all checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def save(
        self,
        step: int,
        state: PyTree[jax.Array],
        batches: grain.DatasetIterator,
        config: Mapping[str, Any],
        scalars: Mapping[str, float] | None = None,
    ) -> None:
        """Saves everything that a run continues from. Returns before it is on disk; see `close`.

        Args:
            step: steps done.
            state: of the training.
            batches: the iterator over this process's part of the data.
            config: the run's.
            scalars: of the last steps, if there are any yet; the best are chosen among checkpoints that have them.

        Raises:
            ValueError: if the best are to be kept, but the scalars lack their metric.
        """
        metrics = None
        if self._keep.best and scalars:
            if self._keep.metric not in scalars:
                raise ValueError(f"checkpoint.metric {self._keep.metric!r} is none of {', '.join(scalars)}")
            metrics = {self._keep.metric: float(scalars[self._keep.metric])}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                batches=grain.checkpoint.CheckpointSave(batches),
                config=ocp.args.JsonSave(dict(config)),
            ),
            metrics=metrics if metrics and math.isfinite(metrics[self._keep.metric]) else None,
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
        state = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract)))["state"]
        batches.set_state(self._position(step))
        batches.start_prefetch()
        return state

    def wait(self) -> None:
        """Blocks until every save is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Blocks until every save is on disk, and ends the background threads."""
        self._manager.close()

    def _position(self, step: int) -> dict[str, Any]:
        """State of the iterator over batches. All processes have gone through as many, so any one's is everyone's."""
        files = sorted((self._directory / str(step) / "batches").glob("process_*-of-*.json"))
        if not files:
            raise ValueError(f"checkpoint {step} in {self._directory} does not say where it stood in the data")
        return json.loads(files[0].read_text())


def _with_raw_keys(tree: PyTree[jax.Array]) -> PyTree[jax.Array]:
    """The tree with its random keys as the integers that are saved of them."""
    is_key = lambda leaf: jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if is_key(leaf) else leaf, tree)


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """Shapes of a tree's arrays by name, the same for a dataclass and for the dictionary that was saved of it."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in leaves}
