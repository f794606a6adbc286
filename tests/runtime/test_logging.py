"""Scalars on disk, and the arithmetic of the progress line."""

import json
from pathlib import Path

import numpy as np
import pytest

from adiff_jax.runtime import logging
from adiff_jax.runtime.logging import Progress, ScalarWriter, compare_hosts


def lines(directory: Path) -> list[dict]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_scalars_are_on_disk_at_once(tmp_path: Path) -> None:
    writer = ScalarWriter(tmp_path)
    writer.write(10, {"loss": 0.5, "l1": 0.25})
    assert lines(tmp_path) == [{"step": 10, "loss": 0.5, "l1": 0.25}]
    writer.close()
    assert list((tmp_path / "tensorboard").iterdir())


def test_resuming_drops_what_the_cut_run_wrote_after_its_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 4, "lo')
    writer = ScalarWriter(tmp_path, first_step=2)
    writer.write(3, {"loss": 1.0})
    writer.close()
    assert lines(tmp_path) == [{"step": 1}, {"step": 2}, {"step": 3, "loss": 1.0}]


def test_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(logging.time, "monotonic", lambda: now[0])
    progress = Progress(first_step=20, steps=100, batch_size=8)
    for wait in (0.25, 0.75):
        with progress.waiting():
            now[0] += wait
    with progress.waiting_for_device():
        now[0] += 2
    now[0] += 1
    speed = progress.read(40)
    waits = {"input_wait": 0.25, "input_seconds_mean": 0.5, "input_seconds_max": 0.75, "device_wait": 0.5}
    assert speed == {"samples_per_second": 40.0, **waits, "seconds_left": 12.0}
    assert progress.line(40, {"loss": 0.12345} | speed | {"seconds_left": 3723.0}) == (
        "40/100  loss 0.1235  samples_per_second 40  input_wait 0.25  left 1:02:03"
    )
    now[0] += 5
    none = dict.fromkeys(waits, 0.0)
    assert progress.read(50) == {"samples_per_second": 16.0, **none, "seconds_left": 25.0}


def test_skipped_steps_stand_in_the_line_if_there_are_any() -> None:
    progress = Progress(0, 10, 1)
    assert progress.line(5, {"skipped": 2.0, "seconds_left": 0.0}) == "5/10  skipped 2  left 0:00:00"
    assert "skipped" not in progress.line(5, {"loss": 1.0, "skipped": 0.0, "seconds_left": 0.0})


def test_the_slowest_host_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"busy": [2.0, 5.0, 1.0], "input_wait": [0.0, 0.2, 0.6], "input_seconds_max": [0.0, 4.0, 3.0]}
    gather = lambda mine: {name: np.array([value, *others[name]]) for name, value in mine.items()}  # noqa: E731
    monkeypatch.setattr(logging, "gather_numbers", gather)
    slowest = {"slowest_host": 2, "slowest_host_lag": 2.5}
    assert compare_hosts(2.0, {"input_wait": 0.1}) == {"input_wait": 0.6} | slowest
    waits = {"input_wait": 0.9, "input_seconds_max": 1.0}
    assert compare_hosts(2.0, waits) == {"input_wait": 0.9, "input_seconds_max": 4.0} | slowest
