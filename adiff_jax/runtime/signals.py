"""A polite stop: SIGTERM and SIGINT become a flag that the training loop reads between two steps."""

import signal
from types import FrameType


class StopSignals:
    """While entered, the first SIGTERM or SIGINT sets `received`; a second SIGINT interrupts at once."""

    def __init__(self):
        self.received = False
        self._previous = {}

    def __enter__(self) -> "StopSignals":
        self._previous = {number: signal.signal(number, self._receive) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = True
