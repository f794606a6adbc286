"""The training loop: one for every task, read from top to bottom."""

import contextlib
import functools
import json
import shlex
import sys
from pathlib import Path

import grain
import jax
import ml_collections

from adiff_jax.data.loader import make_loader
from adiff_jax.data.source import ClipSource, open_source
from adiff_jax.runtime.checkpoints import Checkpoints
from adiff_jax.runtime.distributed import is_leader
from adiff_jax.runtime.logging import Progress, ScalarWriter, tell
from adiff_jax.runtime.sharding import make_mesh, on_mesh, replicated, shard_batch
from adiff_jax.runtime.signals import StopSignals
from adiff_jax.train.samples import write_samples
from adiff_jax.train.state import TrainState, abstract_state, create_state, make_optimizer, make_schedule
from adiff_jax.train.step import Metrics, make_step
from adiff_jax.train.task import Batch, Task
from adiff_jax.train.tasks import make_task
from adiff_jax.weights.tensors import load_tensors

PREVIEW_COLUMNS = 8
CALIBRATION_BATCHES = 8


class TrainingError(RuntimeError):
    """A run that cannot go on; says why."""


def train(config: ml_collections.ConfigDict, workdir: Path) -> bool:
    """Trains until `config.steps`, or until SIGTERM or SIGINT.

    The run directory then holds `config.json`, `command.txt`, `checkpoints/`, `metrics.jsonl`, `tensorboard/`,
    `samples/`, and at the end `export/`, the average weights as part of a bundle. Called again with the same
    directory, it goes on from the last checkpoint, to the same result as if it had never stopped.

    Args:
        config: see `configs/`.
        workdir: the run directory, made if it is not there.

    Returns:
        True if the run is finished, False if it was stopped and can be continued.

    Raises:
        TrainingError: if more than `config.max_skipped` steps in a row had no finite gradient.
        ValueError: if the config does not fit together, or a checkpoint does not fit the config.
    """
    # Task and data
    mesh = make_mesh(config.mesh)
    record_run(config, workdir)
    source = open_source(config.data.source, num_frames=config.data.clip_frames, size=config.data.size)
    task = jax.device_put(make_task(config, source, workdir), replicated(mesh))
    batches = load_batches(task, source, config)
    preview_batch = first_batches(task, source, config, count=1, preview=True)[0]

    with StopSignals() as stop, on_mesh(mesh):
        # State
        checkpoints = Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep)
        optimizer = make_optimizer(config.optimizer, config.steps)
        schedule = make_schedule(config.optimizer, config.steps)
        example = first_batches(task, source, config, count=1)[0]
        state = create_state(task, optimizer, config.seed, jax.eval_shape(lambda: example), mesh)
        state = restore(state, batches, checkpoints, config)
        first_step = int(state.step)
        parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        tell(f"{config.task}: {parameters / 1e6:.2f} M parameters, mesh {dict(mesh.shape)}, from step {first_step}")

        # Steps
        step = jax.jit(make_step(optimizer, config.ema_decay), donate_argnums=1)
        preview = jax.jit(type(task).preview)
        writer = ScalarWriter(workdir, first_step) if is_leader() else None
        progress = Progress(first_step, config.steps, config.batch_size)
        pending: list[Metrics] = []
        finished = first_step >= config.steps
        stopping = False
        for done in range(first_step + 1, config.steps + 1):
            with progress.waiting():
                batch = shard_batch(mesh, next(batches))
            state, metrics = step(task, state, batch)
            pending.append(metrics)
            finished, stopping = done == config.steps, stop.received
            last = finished or stopping

            if done % config.log_every == 0 or last:
                scalars = mean_scalars(pending) | {"learning_rate": float(schedule(done - 1))}
                pending.clear()
                check_health(state, config.max_skipped)
                scalars |= progress.read(done)
                tell(progress.line(done, scalars))
                if writer:
                    writer.write(done, scalars)
            if done % config.preview_every == 0 or finished:
                pictures = preview(task, state.ema, preview_batch, jax.random.fold_in(state.key, done))
                if is_leader():
                    write_samples(workdir / "samples", done, jax.device_get(pictures))
            if done % config.checkpoint.every == 0 or last:
                checkpoints.save(done, state, batches, json.loads(config.to_json()))
            if stopping:
                break

        # End
        checkpoints.close()
        batches.close()
        if writer:
            writer.close()
        if finished and is_leader():
            task.export(workdir / "export", state.ema, first_batches(task, source, config, count=CALIBRATION_BATCHES))
    return finished


def load_batches(task: Task, source: ClipSource, config: ml_collections.ConfigDict) -> grain.DatasetIterator:
    """This process's part of the training batches, as a checkpointable iterator."""
    return make_loader(
        source,
        task.transforms(),
        batch_size=config.batch_size,
        seed=config.seed,
        num_workers=config.data.num_workers,
        shard_index=jax.process_index(),
        shard_count=jax.process_count(),
    )


def first_batches(
    task: Task, source: ClipSource, config: ml_collections.ConfigDict, count: int, preview: bool = False
) -> list[Batch]:
    """The first batches of another draw of the same clips, the same on every process."""
    batches = make_loader(
        source,
        task.transforms(preview),
        batch_size=min(PREVIEW_COLUMNS, len(source)),
        seed=config.seed + 1,
        num_threads=1,
    )
    with contextlib.closing(batches):
        return [next(batches) for _ in range(count)]


def restore(
    state: TrainState, batches: grain.DatasetIterator, checkpoints: Checkpoints, config: ml_collections.ConfigDict
) -> TrainState:
    """The state to start from: this run's last, else that of the run `resume`, else new.

    A new state takes its weights from the exported component `init_from`, if that is given. When a run goes on,
    `batches` moves to where it stood.
    """
    if checkpoints.latest is not None:
        return checkpoints.restore(abstract_state(state), batches)
    if config.resume:
        with contextlib.closing(Checkpoints(Path(config.resume) / "checkpoints")) as other:
            return other.restore(abstract_state(state), batches)
    if config.init_from:
        weights = load_tensors(Path(config.init_from) / "model.safetensors", state.params)
        put = functools.partial(jax.tree.map, lambda old, new: jax.device_put(new.astype(old.dtype), old.sharding))
        return state.replace(params=put(state.params, weights), ema=put(state.ema, weights))
    return state


def record_run(config: ml_collections.ConfigDict, workdir: Path) -> None:
    """Writes the config, and adds the exact command to those that worked on this run before."""
    if not is_leader():
        return
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "config.json"
    text = json.dumps(json.loads(config.to_json()), indent=2, sort_keys=True) + "\n"
    if path.exists() and path.read_text() != text:
        tell(f"the config is not the one this run began with; {path} now holds the new one")
    path.write_text(text)
    with (workdir / "command.txt").open("a") as file:
        file.write(shlex.join(sys.orig_argv) + "\n")


def mean_scalars(pending: list[Metrics]) -> dict[str, float]:
    """Means over the steps since the last reading: the only place where the host waits for the device."""
    fetched = jax.device_get(pending)
    return {name: float(sum(metrics[name] for metrics in fetched) / len(fetched)) for name in fetched[0]}


def check_health(state: TrainState, max_skipped: int) -> None:
    """Raises `TrainingError` if too many steps in a row were skipped."""
    skipped = int(state.skipped)
    if skipped > max_skipped:
        raise TrainingError(
            f"{skipped} steps in a row up to step {int(state.step)} had a loss or gradient that is not finite: lower "
            "optimizer.learning_rate; the weights are those from before"
        )
