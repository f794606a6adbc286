"""A polite stop: SIGTERM and SIGINT become a question that the training loop asks between two steps."""

import signal
from types import FrameType

import jax
from jax.experimental import multihost_utils


class StopSignals:
    """While entered, SIGTERM and SIGINT do not end the process; `reached` says when to save and stop.

    With several processes it is enough that one of them gets the signal: JAX's preemption service, which listens for
    SIGTERM from `jax.distributed.initialize` on, agrees on a step for all.

    A second SIGINT interrupts at once.
    """

    def __init__(self):
        self.received = False
        self._shared = jax.process_count() > 1
        self._previous = {}

    def __enter__(self) -> "StopSignals":
        heard = (signal.SIGINT,) if self._shared else (signal.SIGTERM, signal.SIGINT)
        self._previous = {number: signal.signal(number, self._receive) for number in heard}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def reached(self, step: int) -> bool:
        """Whether to stop after `step`, the same on every process. All must ask, for every step."""
        return multihost_utils.reached_preemption_sync_point(step) if self._shared else self.received

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = True
        if self._shared:
            signal.raise_signal(signal.SIGTERM)  # for JAX's service
