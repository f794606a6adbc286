"""Work ahead of who asks for it: in order, bounded, and ended with its context."""

import itertools
import threading
import time

import pytest

from adiff_jax.prep.ahead import in_threads


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_whatever_takes_how_long(threads: int) -> None:
    def slow(number: int) -> int:
        time.sleep((number * 7 % 5) / 1000)
        return number * number

    with in_threads(slow, range(30), threads) as results:
        assert list(results) == [number * number for number in range(30)]


def test_no_more_than_a_few_items_are_taken_ahead_and_the_rest_never() -> None:
    taken = []
    items = (taken.append(number) or number for number in itertools.count())
    with in_threads(lambda number: number, items) as results:
        assert next(results) == 0
        assert len(taken) <= 6
    assert len(taken) <= 6


def test_threads_work_at_the_same_time() -> None:
    # Both calls wait for the other: one thread alone would never get past it.
    together = threading.Barrier(2, timeout=10)
    with in_threads(lambda _: together.wait(), range(2), threads=2) as results:
        assert sorted(results) == [0, 1]


def test_an_error_reaches_who_asked() -> None:
    with in_threads(lambda number: 1 // number, [1, 0]) as results:
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)
