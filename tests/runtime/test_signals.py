"""SIGTERM and SIGINT as a question between two steps."""

import signal

import pytest

from adiff_jax.runtime import signals
from adiff_jax.runtime.signals import StopSignals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_noted_and_handlers_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignals() as stop:
        assert not stop.reached(1)
        signal.raise_signal(number)
        assert stop.reached(2)
    assert signal.getsignal(number) is before


def test_a_second_interrupt_interrupts() -> None:
    with StopSignals() as stop, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.reached(1)
        signal.raise_signal(signal.SIGINT)


def test_several_processes_leave_sigterm_to_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))  # as JAX's service does
    monkeypatch.setattr(signals.jax, "process_count", lambda: 2)
    monkeypatch.setattr(signals.multihost_utils, "reached_preemption_sync_point", lambda step: step == 3)
    try:
        with StopSignals() as stop:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            assert [stop.reached(step) for step in (1, 2, 3)] == [False, False, True]
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert heard == [signal.SIGTERM, signal.SIGTERM]
