"""How far long work has come: bars on stderr, and reports out of compiled programs.

A report is a call `progress(done, total)`, as in `prep.engine`.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Array, Float, Int
from tqdm import tqdm

Progress = Callable[[int, int], None]

_listeners: dict[int, Callable[[int], None]] = {}
_numbers = itertools.count()


@contextlib.contextmanager
def progress_bar(description: str, unit: str) -> Iterator[Progress]:
    """A bar that appears with the first report and ends with the last; another one begins if reports go on."""
    bar = None

    def progress(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(desc=description, unit=f" {unit}", total=total, smoothing=0.05)
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()
            bar = None

    try:
        yield progress
    finally:
        if bar is not None:
            bar.close()


@contextlib.contextmanager
def listening(listener: Callable[[int], None]) -> Iterator[np.int32]:
    """Gives the number under which compiled programs `tell` the listener, and waits for them at the end.

    The number is data to a program, so that it is compiled once for all listeners.
    """
    number = next(_numbers)
    _listeners[number] = listener
    try:
        yield np.int32(number)
        jax.effects_barrier()
    finally:
        del _listeners[number]


def tell(number: Int[Array, ""], done: Int[Array, ""], result: Float[Array, "..."]) -> None:
    """Calls a listener with `done` from within a compiled program, once `result` is there; in order, on one device."""
    jax.debug.callback(_tell, number, done, result.ravel()[0], ordered=True)  # the value makes it wait


def _tell(number: Int[Array, ""], done: Int[Array, ""], value: Float[Array, ""]) -> None:
    listener = _listeners.get(int(number))
    if listener is not None:  # gone after an interruption
        listener(int(done))
