"""What a run tells: scalars to TensorBoard and `metrics.jsonl`, and a progress line."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
from tensorboardX import SummaryWriter

from adiff_jax.runtime.distributed import gather_numbers


def tell(line: str) -> None:
    """Prints a line for a person, after the time of day."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


class ScalarWriter:
    """Writes scalars by step to `metrics.jsonl` (one object a line) and to TensorBoard event files.

    A resumed run continues the file; lines at or after its first step, written by the run that was cut, are dropped.
    """

    def __init__(self, directory: Path, first_step: int = 0):
        """Opens the files in `directory`; `first_step` is the number of steps that are already done."""
        path = directory / "metrics.jsonl"
        kept = []
        if path.exists():
            lines = path.read_text().splitlines(keepends=True)
            # A killed run may have left half a line at the end.
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= first_step]
        aside = path.with_suffix(".partial")
        aside.write_text("".join(kept))
        aside.rename(path)
        self._path = path
        self._events = SummaryWriter(str(directory / "tensorboard"), purge_step=first_step + 1)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes the scalars of one step to both places."""
        with self._path.open("a") as lines:  # a mounted bucket keeps what is written when the file is closed
            lines.write(json.dumps({"step": step, **scalars}) + "\n")
        for name, value in scalars.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Closes the event file."""
        self._events.close()


class Progress:
    """Speed, time spent waiting for input and devices, and time left, between two readings; who holds the others up.

    Example:
        progress = Progress(first_step=0, steps=1000, batch_size=32)
        with progress.waiting():
            batch = next(batches)
        with progress.waiting_for_device():
            jax.block_until_ready(state)
        progress.handed_in()
        print(progress.line(100, progress.read(100)))
    """

    def __init__(self, first_step: int, steps: int, batch_size: int):
        self._steps, self._batch_size = steps, batch_size
        self._step, self._time, self._busy = first_step, time.monotonic(), 0.0
        self._waits: list[float] = []
        self._device_wait = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time inside as waiting for the input of one step."""
        start = time.monotonic()
        yield
        self._waits.append(time.monotonic() - start)

    @contextmanager
    def waiting_for_device(self) -> Iterator[None]:
        """Counts the time inside as waiting for the devices to finish a step."""
        start = time.monotonic()
        yield
        self._device_wait += time.monotonic() - start

    def handed_in(self) -> None:
        """Notes that this host has given its devices all steps up to now; from here on it waits for them to finish."""
        self._busy = time.monotonic() - self._time - self._device_wait

    def read(self, step: int) -> dict[str, float]:
        """`samples_per_second`, waits and `seconds_left`, since the last reading.

        The waits for input are `input_wait`, the share of the time (0 to 1), and `input_seconds_mean` and
        `input_seconds_max`, of a step. `device_wait` is the share that was spent waiting for the devices while the next
        step was already handed in: where there is some, they never starve. With several processes also what
        `compare_hosts` says; all of them must read then.
        """
        now = time.monotonic()
        seconds = now - self._time
        waits = {
            "input_wait": sum(self._waits) / seconds,
            "input_seconds_mean": sum(self._waits) / max(len(self._waits), 1),
            "input_seconds_max": max(self._waits, default=0.0),
        }
        speed = {
            "samples_per_second": (step - self._step) * self._batch_size / seconds,
            **waits,
            "device_wait": self._device_wait / seconds,
            "seconds_left": (self._steps - step) * seconds / (step - self._step),
        }
        if jax.process_count() > 1:
            speed |= compare_hosts(self._busy, waits)
        self._step, self._time = step, now
        self._waits.clear()
        self._device_wait = 0.0
        return speed

    def line(self, step: int, scalars: Mapping[str, float]) -> str:
        """One line for a person: step, every scalar but some of the waits, time left."""
        shown = {name: value for name, value in scalars.items() if "seconds_" not in name and name != "device_wait"}
        if not shown.get("skipped"):
            shown.pop("skipped", None)
        left = int(scalars["seconds_left"])
        values = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
        return f"{step}/{self._steps}  {values}  left {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"


def compare_hosts(busy: float, waits: Mapping[str, float]) -> dict[str, float]:
    """Which host the others wait for. Every process must call it.

    Steps are taken together, so a slow host is as fast as the rest; but it is the last to hand its steps to its
    devices, while the others have long been waiting for the result.

    Args:
        busy: seconds that this host took to hand in its steps, without waiting for its devices.
        waits: how this host waited for input.

    Returns:
        `waits`, each of the host where it is largest; `slowest_host`, the number of the last; and `slowest_host_lag`,
        how many times the median its time to hand in was.
    """
    hosts = gather_numbers({"busy": busy, **waits})
    slowest = int(hosts["busy"].argmax())
    lag = hosts["busy"][slowest] / max(float(np.median(hosts["busy"])), 1e-9)
    longest = {name: float(hosts[name].max()) for name in waits}
    return longest | {"slowest_host": slowest, "slowest_host_lag": float(lag)}
