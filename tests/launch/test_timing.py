"""Benchmarks take turns; what they measure is not tested, since it depends on the machine."""

import pytest

from launch.bench import timing
from launch.bench.timing import METRICS, Pair, measure


def test_both_sides_take_turns_and_the_first_turn_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(timing, "matmul_peak", lambda: 1e9)
    # Ours takes 9, 1, 2, 4 seconds and the reference twice as long; compilation is in the first turn.
    clock = iter([9.0, 99.0, 1.0, 2.0, 2.0, 4.0, 4.0, 8.0])
    monkeypatch.setattr(timing, "seconds", lambda run: run() or next(clock))
    pair = Pair(lambda: calls.append("ours"), lambda: calls.append("reference"), flops=1e9)
    report = measure("Test", {"case": lambda: pair}, pairs=3)
    assert calls == ["ours", "reference"] * 4
    row = report.rows["case"]
    assert row == {"ours": 2e3, "reference": 4e3, "speed": 2.0, "GFLOP": 1.0, "of peak": 0.5}
    assert row.keys() == {metric.name for metric in METRICS}
