"""The training loop: one for every task, read from top to bottom."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import grain
import jax
import ml_collections

from adiff_jax.data.loader import make_loader
from adiff_jax.data.source import ClipSource
from adiff_jax.runtime.distributed import agree, is_leader
from adiff_jax.runtime.logging import Progress, ScalarWriter, tell
from adiff_jax.runtime.profiling import Profiler
from adiff_jax.runtime.sharding import (
    device_memory,
    make_mesh,
    num_slices,
    on_mesh,
    pick_mesh,
    process_rows,
    replicate,
    replicated,
    shard_batch,
    to_host,
)
from adiff_jax.runtime.signals import StopSignals
from adiff_jax.train.health import Readings, check_health, record_skipped
from adiff_jax.train.samples import write_samples
from adiff_jax.train.start import hold, open_checkpoints, open_data, open_task, record_run, restore, with_weights
from adiff_jax.train.state import abstract_state, boxed_state, create_state, make_optimizer, make_schedule
from adiff_jax.train.step import Metrics, make_step
from adiff_jax.train.task import Batch, Task

PREVIEW_COLUMNS = 8
CALIBRATION_BATCHES = 8
SLOW_INPUT = 0.25  # share of the time spent waiting for input from which on the log says so,
STARVED = 0.05  # if no more than this share of it is spent waiting for the devices
AHEAD = 2  # steps that may be handed to the devices before an earlier one is finished


def train(config: ml_collections.ConfigDict, workdir: Path) -> bool:
    """Trains until `config.steps`, or until SIGTERM or SIGINT.

    The run directory then holds `config.json`, `command.txt`, `checkpoints/`, `metrics.jsonl`, `tensorboard/`,
    `samples/`, and at the end `export/`, the average weights as part of a bundle; `skipped/` and `profile/` if there
    were any. Called again with the same directory, it goes on from the last checkpoint, to the same result as if it had
    never stopped, on whatever mesh and number of processes.

    Args:
        config: see `configs/`.
        workdir: the run directory, made if it is not there.

    Returns:
        True if the run is finished, False if it was stopped and can be continued.

    Raises:
        TrainingError: if at a log line more than `config.max_skipped` steps in a row had no finite gradient.
        ValueError: if the config does not fit together, a checkpoint does not fit the config, hosts disagree, or
            another run is at work in `workdir`.
    """
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopSignals())

        # Data and task
        source = open_data(config)
        stack.enter_context(hold(workdir))
        record_run(config, workdir)
        task = open_task(config, source, workdir)
        check_parts(task, config)
        example = first_batches(task, source, config, count=1)[0]
        preview_batch = first_batches(task, source, config, count=1, preview=True)[0]

        # Mesh and state
        optimizer = make_optimizer(config.optimizer, config.steps)
        schedule = make_schedule(config.optimizer, config.steps)
        begin = (task, optimizer, config.seed, jax.eval_shape(lambda: example))
        boxed = boxed_state(*begin)
        sizes = pick_mesh(
            jax.device_count(),
            batch_size=config.batch_size // config.accumulate,
            state=boxed,
            memory=device_memory(jax.local_devices()[0]),
            sizes=config.mesh,
            slices=num_slices(jax.devices()),
        )
        agree({"mesh": str(sizes)}, "set config.mesh")  # it may follow from memory, which hosts need not have alike
        mesh = make_mesh(sizes)
        rows = process_rows(mesh, config.batch_size)
        batches = stack.enter_context(contextlib.closing(load_batches(task, source, config, rows)))
        checkpoints = stack.enter_context(contextlib.closing(open_checkpoints(config, workdir)))
        with on_mesh(mesh, shard_tokens=config.shard_tokens):
            state = restore(abstract_state(boxed, mesh), batches, checkpoints, config)
            if state is None:
                state = create_state(*begin, mesh)
                state = with_weights(state, config.init_from) if config.init_from else state
            task, preview_batch = replicate(mesh, (task, preview_batch))
            first_step = int(state.step)
            parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
            if is_leader():
                tell(f"{config.task}: {parameters / 1e6:.2f} M parameters, mesh {sizes}, from step {first_step}")

            # Steps
            step = jax.jit(
                make_step(optimizer, config.ema_decay, config.accumulate),
                donate_argnums=1,
                out_shardings=(jax.tree.map(lambda leaf: leaf.sharding, state), replicated(mesh)),
                compiler_options=compiler_options(config.deterministic),
            )
            preview = jax.jit(type(task).preview, out_shardings=replicated(mesh))
            writer = ScalarWriter(workdir, first_step) if is_leader() else None
            progress = Progress(first_step, config.steps, config.batch_size)
            profiler = stack.enter_context(Profiler(workdir / "profile", config.profile.first, config.profile.steps))
            pending: list[Metrics] = []
            scalars: dict[str, float] = {}
            finished = first_step >= config.steps
            for done in range(first_step + 1, config.steps + 1):
                with profiler.step(done):
                    with progress.waiting():
                        batch = shard_batch(mesh, next(batches))
                    state, metrics = step(task, state, batch)
                pending.append(metrics)
                if len(pending) > AHEAD:
                    with progress.waiting_for_device():
                        pending[-1 - AHEAD] = jax.device_get(pending[-1 - AHEAD])
                finished, stopping = done == config.steps, stop.reached(done)
                last = finished or stopping

                if due(done, config.log_every) or last:
                    progress.handed_in()
                    readings = Readings(done, jax.device_get(pending))
                    pending.clear()
                    scalars = readings.means() | {"learning_rate": float(schedule(done - 1))} | progress.read(done)
                    if writer:
                        tell(progress.line(done, scalars))
                        writer.write(done, scalars)
                        record_skipped(readings, source, config, workdir / "skipped")
                        if scalars["input_wait"] > SLOW_INPUT and scalars["device_wait"] < STARVED:
                            tell(
                                f"{scalars['input_wait']:.0%} of the time is waiting for input: more data.num_workers?"
                            )
                    check_health(int(state.skipped), done, config.max_skipped)
                if due(done, config.preview_every) or finished:
                    pictures = preview(task, state.ema, preview_batch, jax.random.fold_in(state.key, done))
                    if is_leader():
                        write_samples(workdir / "samples", done, jax.device_get(pictures))
                if due(done, config.checkpoint.every) or last:
                    checkpoints.save(done, state, batches, json.loads(config.to_json()), scalars)
                if stopping:
                    break
            weights = to_host(state.ema) if finished else None

        # End
        checkpoints.wait()
        if writer:
            writer.close()
        if finished and is_leader():
            task = jax.device_get(task)  # what the leader does alone must not know of the others' devices
            task.export(workdir / "export", weights, first_batches(task, source, config, count=CALIBRATION_BATCHES))
    return finished


def due(step: int, every: int) -> bool:
    """Whether what is done every so many steps, 0 for never, is to be done after `step`."""
    return every > 0 and step % every == 0


def load_batches(
    task: Task, source: ClipSource, config: ml_collections.ConfigDict, rows: Sequence[int]
) -> grain.DatasetIterator:
    """These rows of the training batches, as a checkpointable iterator."""
    return make_loader(
        source,
        task.transforms(),
        batch_size=config.batch_size,
        seed=config.seed,
        num_workers=config.data.num_workers,
        num_threads=config.data.num_threads,
        prefetch=config.data.prefetch,
        rows=rows,
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


def check_parts(task: Task, config: ml_collections.ConfigDict) -> None:
    """Raises `ValueError` if batches cannot be computed in `config.accumulate` parts."""
    if config.accumulate < 1 or config.batch_size % config.accumulate:
        raise ValueError(f"a batch of {config.batch_size} cannot be computed in {config.accumulate} parts")
    if config.accumulate > 1 and not task.separable:
        raise ValueError(f"accumulate must be 1 for {config.task}: its loss compares all examples of a batch")


def compiler_options(deterministic: bool) -> dict[str, bool] | None:
    """Options under which the same step on the same devices gives the same bits, where that is not so anyway."""
    return {"xla_gpu_deterministic_ops": True} if deterministic and jax.default_backend() == "gpu" else None
