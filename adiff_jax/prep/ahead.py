"""Work done in threads, a little ahead of who asks for it: decoders and filters release Python's lock."""

import collections
import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4  # items


@contextlib.contextmanager
def in_threads(function: Callable[[T], R], items: Iterable[T], threads: int = 1) -> Iterator[Iterator[R]]:
    """Gives what a function makes of items, in their order; a few are under way before they are asked for.

    Items are taken in the caller's thread. Those under way when the context is left are finished, the rest not begun.
    """
    with ThreadPoolExecutor(threads) as pool:

        def results() -> Iterator[R]:
            under_way: collections.deque[Future[R]] = collections.deque()
            for item in items:
                under_way.append(pool.submit(function, item))
                if len(under_way) > _AHEAD:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()

        yield results()
