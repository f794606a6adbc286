"""What a sweep consists of: its file, and one run for every set of values, each with a directory of its own."""

import dataclasses
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_collections

Values = Mapping[str, Any]
OUTCOME = "outcome.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One training of a sweep.

    Attributes:
        index: its place in the sweep.
        values: swept options by their dotted names in the config.
        directory: the run directory.
    """

    index: int
    values: Values
    directory: Path

    @property
    def name(self) -> str:
        """The swept values, each by the last part of its option's name."""
        return self.directory.name

    def command(self, config: str, arguments: Sequence[str] = ()) -> list[str]:
        """What trains it; continues it if it was stopped."""
        swept = [f"--config.{option}={value}" for option, value in self.values.items()]
        train = [sys.executable, "-m", "adiff_jax.train", f"--config={config}", f"--workdir={self.directory}"]
        return [*train, *arguments, *swept]

    @property
    def exit_code(self) -> int | None:
        """0 if it is finished, what it failed with if it failed, None if it is still to be done or to be continued."""
        path = self.directory / OUTCOME
        return json.loads(path.read_text())["exit_code"] if path.exists() else None

    def conclude(self, exit_code: int) -> None:
        """Writes down that the run needs no more work, so that it is not done again."""
        draft = self.directory / f".{OUTCOME}.part"
        draft.write_text(json.dumps({"exit_code": exit_code, "values": dict(self.values)}) + "\n")
        draft.rename(self.directory / OUTCOME)

    @cached_property
    def scalars(self) -> list[dict[str, float]]:
        """What was logged, in the order of steps; empty before the first line."""
        path = self.directory / "metrics.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may be half written


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep with its place on disk.

    Attributes:
        file: that defines it.
        config: file and argument of the config, relative to the checkout.
        metric: scalar that runs are compared by; less is better.
        runs: all of them.
    """

    file: Path
    config: str
    metric: str
    runs: tuple[Run, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the swept options."""
        return tuple(self.runs[0].values)

    @property
    def open(self) -> list[Run]:
        """Runs that are to be done or continued."""
        return [run for run in self.runs if run.exit_code is None]


def load_sweep(file: Path, out: Path) -> Sweep:
    """Reads a sweep file and checks every run against the config.

    The file has `CONFIG` (file and argument), `METRIC`, and `sweep(add)`, which calls `add(option=value, ..)` or
    `add({"dotted.option": value, ..})` once a run.

    Args:
        file: such as `configs/sweeps/tiny.py`.
        out: directory that holds the run directories.

    Raises:
        ValueError: if the file lacks a part or has no runs, runs sweep different options or are the same, or an option
            is not in the config or is of another type.
    """
    module = _load(file)
    if missing := [name for name in ("CONFIG", "METRIC", "sweep") if not hasattr(module, name)]:
        raise ValueError(f"{file} has no {' and no '.join(missing)}: see launch/README.md")
    collected: list[Values] = []

    def add(values: Values | None = None, **more: Any) -> None:
        collected.append({**(values or {}), **more})

    module.sweep(add)
    if not collected or not collected[0]:
        raise ValueError(f"{file} adds no runs: call add with the options of each")
    config = load_config(module.CONFIG)
    names = [_name(values) for values in collected]
    for values, name in zip(collected, names):
        if values.keys() != collected[0].keys():
            raise ValueError(f"{file}: run {name} sets other options than the first one, {', '.join(collected[0])}")
        if names.count(name) > 1:
            raise ValueError(f"{file} adds the run {name} twice")
        try:
            config.copy_and_resolve_references().update_from_flattened_dict(values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file}: {name} does not fit {module.CONFIG}: {error}") from error
        if unknown := [option for option in values if not _has(config, option)]:
            raise ValueError(f"{file}: {module.CONFIG} has no option {', '.join(unknown)}")
    runs = tuple(Run(i, values, out / name) for i, (values, name) in enumerate(zip(collected, names)))
    return Sweep(file, module.CONFIG, module.METRIC, runs)


def load_config(name: str) -> ml_collections.ConfigDict:
    """The config of `FILE:ARGUMENT`."""
    file, _, argument = name.partition(":")
    get_config: Callable[..., ml_collections.ConfigDict] = _load(Path(file)).get_config
    return get_config(argument or None)


def _load(file: Path) -> ModuleType:
    if not file.is_file():
        raise ValueError(f"there is no file {file}: run this in the checkout, or give another path")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _name(values: Values) -> str:
    return ",".join(f"{option.rpartition('.')[2]}={value}" for option, value in values.items()).replace("/", "_")


def _has(config: ml_collections.ConfigDict, option: str) -> bool:
    for part in option.split("."):
        if not isinstance(config, ml_collections.ConfigDict) or part not in config:
            return False
        config = config[part]
    return True
