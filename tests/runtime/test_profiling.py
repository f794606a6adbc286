"""Profiles of the steps that were named, and of those after a signal."""

import signal
from collections.abc import Callable
from pathlib import Path

import jax
import pytest

from adiff_jax.runtime.profiling import Profiler


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was started and stopped, without JAX's tracer."""
    calls = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: calls.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("stop"))
    return calls


def run(profiler: Profiler, traces: list, steps: int, before: Callable[[int], None] = lambda step: None) -> None:
    for number in range(1, steps + 1):
        before(number)
        with profiler.step(number):
            traces.append(number)


def test_the_steps_that_the_config_names(tmp_path: Path, traces: list) -> None:
    with Profiler(tmp_path, first=2, steps=2) as profiler:
        run(profiler, traces, 5)
    assert traces == [1, "start", 2, 3, "stop", 4, 5]


def test_the_steps_after_a_signal(tmp_path: Path, traces: list) -> None:
    with Profiler(tmp_path, first=0, steps=1) as profiler:
        run(profiler, traces, 4, before=lambda step: step == 3 and signal.raise_signal(signal.SIGUSR1))
    assert traces == [1, 2, "start", 3, "stop", 4]


def test_a_run_that_ends_ends_its_profile(tmp_path: Path, traces: list) -> None:
    with Profiler(tmp_path, first=1, steps=9) as profiler:
        run(profiler, traces, 2)
    assert traces == ["start", 1, 2, "stop"]


def test_writes_a_trace(tmp_path: Path) -> None:
    with Profiler(tmp_path, first=1, steps=1) as profiler, profiler.step(1):
        jax.block_until_ready(jax.jit(lambda x: x + 1)(1.0))
    assert list(tmp_path.rglob("*.xplane.pb"))
