"""A profile on demand: of the steps that the config names, and of the next ones after a SIGUSR1."""

import contextlib
import signal
from pathlib import Path
from types import FrameType

import jax


class Profiler:
    """Traces a range of steps into `directory`, to be opened with TensorBoard's profile plugin or Perfetto (XProf).

    With several processes each traces itself, into a file with its host's name; SIGUSR1 concerns the one that gets it.

    Example:
        with Profiler(workdir / "profile", first=100, steps=5) as profiler:
            for done in range(1, 1001):
                with profiler.step(done):
                    state, metrics = step(task, state, batch)
    """

    def __init__(self, directory: Path, first: int, steps: int):
        """Profiles `steps` steps from step `first` on; with `first` 0, only when asked to by SIGUSR1."""
        self._directory, self._first, self._steps = directory, first, steps
        self._asked = False
        self._last: int | None = None  # of the trace that is running
        self._previous = None

    def __enter__(self) -> "Profiler":
        self._previous = signal.signal(signal.SIGUSR1, self._ask)
        return self

    def __exit__(self, *exception: object) -> None:
        signal.signal(signal.SIGUSR1, self._previous)
        self._stop()

    @contextlib.contextmanager
    def step(self, number: int):
        """Around a step; starts and ends the trace where it is due."""
        if self._last is None and (self._asked or number == self._first):
            self._asked = False
            self._last = number + self._steps - 1
            jax.block_until_ready(jax.live_arrays())  # steps from before do not belong to it
            jax.profiler.start_trace(str(self._directory))
        if self._last is None:
            yield
            return
        with jax.profiler.StepTraceAnnotation("train", step_num=number):
            yield
        if number >= self._last:
            self._stop()

    def _stop(self) -> None:
        if self._last is not None:
            self._last = None
            jax.block_until_ready(jax.live_arrays())
            jax.profiler.stop_trace()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
