"""The beginning of a run: what all hosts must agree on, what is written down, and which state it starts from."""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import grain
import jax
import ml_collections
from etils import epath
from jaxtyping import PyTree

import adiff_jax
from adiff_jax.data.source import ClipSource, open_source
from adiff_jax.runtime.checkpoints import Checkpoints, Keep
from adiff_jax.runtime.distributed import agree, gather, is_leader, wait_for_all
from adiff_jax.runtime.logging import tell
from adiff_jax.runtime.sharding import place
from adiff_jax.train.state import TrainState
from adiff_jax.train.task import Task
from adiff_jax.train.tasks import make_task
from adiff_jax.weights.tensors import load_tensors

LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


class BusyError(ValueError):
    """Another run is at work in the run directory."""


@contextlib.contextmanager
def hold(workdir: Path) -> Iterator[None]:
    """Keeps other runs out of a run directory, made if it is not there, until this one ends in whatever way.

    Raises:
        BusyError: on every host, if another run is at work there.
    """
    lock, problem = filelock.FileLock(workdir / "run.lock"), None
    if is_leader():
        workdir.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            problem = BusyError(f"another run is at work in {workdir}: wait for its end, or choose another --workdir")
    try:
        share(problem)
    except ValueError as error:
        raise BusyError(str(error)) from None
    try:
        yield
    finally:
        lock.release()


def open_data(config: ml_collections.ConfigDict) -> ClipSource:
    """Opens the training clips, and makes sure that all hosts have the same data, config and code.

    Raises:
        ValueError: on every host, if one of them cannot open its data.
        DisagreementError: on every host, if they differ in an option, in the code, in a library or in the data.
    """
    source, problem = None, None
    try:
        source = open_source(config.data.source, num_frames=config.data.clip_frames, size=config.data.size)
    except ValueError as error:
        problem = error
    share(problem)
    facts = _options(json.loads(config.to_json()), "config.")
    facts |= {library: importlib.metadata.version(library) for library in LIBRARIES}
    facts |= {
        "code": f"{adiff_jax.__version__} ({code_digest()[:12]})",
        "data": data_digest(source)[:12],
        "devices": f"{jax.local_device_count()} {jax.local_devices()[0].device_kind}",
        "python": platform.python_version(),
    }
    agree(facts, "start all of them with the same command, code and data")
    return source


def open_task(config: ml_collections.ConfigDict, source: ClipSource, workdir: Path) -> Task:
    """The task, on the leader first: what it learns for a run directory that hosts share, the others find there.

    Raises:
        ValueError: on every host, if its parts do not fit each other on one of them.
    """
    task, problem = None, None
    for leaders_turn in (True, False):
        if is_leader() == leaders_turn:
            try:
                task = make_task(config, source, workdir)
            except ValueError as error:
                problem = error
        wait_for_all("task")
    share(problem)
    return task


def share(problem: ValueError | None) -> None:
    """Raises `ValueError` on every host, if any of them has a problem: this one's own, or what the others say."""
    problems = [facts["problem"] for facts in gather({"problem": str(problem or "")})]
    if problem is not None:
        raise problem
    if any(problems):
        raise ValueError("; ".join(f"host {host}: {text}" for host, text in enumerate(problems) if text))


def open_checkpoints(config: ml_collections.ConfigDict, workdir: Path) -> Checkpoints:
    """The run's own checkpoints.

    Raises:
        DisagreementError: on every host, if they do not see the same directory.
    """
    directory = epath.Path(config.checkpoint.directory or workdir / "checkpoints")
    if jax.process_count() > 1:
        # One host writes what the others must then be able to read.
        mark = directory / "seen_by_all_hosts"
        if is_leader():
            directory.mkdir(parents=True, exist_ok=True)
            mark.write_text(shlex.join(sys.orig_argv))
        wait_for_all("checkpoint directory")
        seen = {"checkpoint.directory": "there" if mark.exists() else "not there"}
        agree(seen, f"{directory} must be on storage that all hosts share, such as gs://BUCKET/RUN")
        wait_for_all("checkpoint directory seen")
        if is_leader():
            mark.unlink()
    keep = Keep(config.checkpoint.keep, config.checkpoint.keep_every, config.checkpoint.best, config.checkpoint.metric)
    return Checkpoints(directory, keep)


def restore(
    abstract: PyTree[jax.ShapeDtypeStruct],
    batches: grain.DatasetIterator,
    checkpoints: Checkpoints,
    config: ml_collections.ConfigDict,
) -> TrainState | None:
    """The state to go on from: this run's last, else that of the run `resume`; None to begin anew.

    When a run goes on, `batches` moves to where it stood.

    Args:
        abstract: how the state is to lie; on any mesh, whichever it was saved from.
        batches: over this process's part of the data.
        checkpoints: this run's.
        config: with `resume`, a run directory, or one of checkpoints.
    """
    if checkpoints.latest is not None:
        return checkpoints.restore(abstract, batches)
    if config.resume:
        run = epath.Path(config.resume)
        folder = run / "checkpoints" if (run / "checkpoints").exists() else run
        with contextlib.closing(Checkpoints(folder, read_only=True)) as other:
            return other.restore(abstract, batches)
    return None


def with_weights(state: TrainState, component: str) -> TrainState:
    """A new state with the weights of an exported component, in its parameters and their average."""
    weights = load_tensors(Path(component) / "model.safetensors", state.params)
    put = functools.partial(jax.tree.map, lambda old, new: place(new.astype(old.dtype), old.sharding))
    return state.replace(params=put(state.params, weights), ema=put(state.ema, weights))


def record_run(config: ml_collections.ConfigDict, workdir: Path) -> None:
    """Writes the config, and adds the exact command to those that worked on this run before."""
    workdir.mkdir(parents=True, exist_ok=True)
    if not is_leader():
        return
    path = workdir / "config.json"
    text = json.dumps(json.loads(config.to_json()), indent=2, sort_keys=True) + "\n"
    if path.exists() and path.read_text() != text:
        tell(f"the config is not the one this run began with; {path} now holds the new one")
    path.write_text(text)
    with (workdir / "command.txt").open("a") as file:
        file.write(shlex.join(sys.orig_argv) + "\n")


@functools.cache
def code_digest() -> str:
    """SHA-256 over the package's Python files and their names."""
    root = Path(adiff_jax.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def data_digest(source: ClipSource) -> str:
    """SHA-256 of what the clips are: of the manifest, which holds those of all shards, where there is one."""
    manifest = getattr(source, "manifest", None)
    return hashlib.sha256((manifest.to_json() if manifest else repr(source)).encode()).hexdigest()


def _options(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Every option by its dotted name, as JSON."""
    options = {}
    for name, value in values.items():
        inner = (
            _options(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: json.dumps(value)}
        )
        options |= inner
    return options
