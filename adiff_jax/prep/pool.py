"""Worker processes that may die: the work of one that does is done again, once alone, and then given up."""

import collections
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 3  # tasks for each worker that are handed out: enough to keep it busy, few enough to keep memory small
_ATTEMPTS = 2  # alone, before a task is given up


class Pool:
    """A context with worker processes; with one worker the work is done in this process, unless it must not die of it.

    Args:
        workers: number of processes.
        isolated: one worker, too, is a process of its own.
    """

    def __init__(self, workers: int, isolated: bool = False):
        self._workers = workers
        self._here = workers <= 1 and not isolated
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[T], R], tasks: Iterable[T], given_up: Callable[[T], R]) -> Iterator[R]:
        """The results in the tasks' order; at most a few tasks for each worker are under way.

        Args:
            function: what is done; sent to the workers.
            tasks: read as they are needed.
            given_up: the result of a task whose worker died every time.
        """
        if self._here:
            yield from map(function, tasks)
            return
        tasks = iter(tasks)
        waiting: collections.deque[tuple[T, Future[R]]] = collections.deque()
        while True:
            while len(waiting) < _AHEAD * self._workers and (task := next(tasks, waiting)) is not waiting:
                waiting.append((task, self._submit(function, task)))
            if not waiting:
                return
            task, future = waiting.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                # Nobody knows whose task it was: all that were under way are done again, one at a time.
                again = [task, *(other for other, _ in waiting)]
                waiting.clear()
                self._restart()
                for task in again:
                    yield self._alone(function, task, given_up)

    def _submit(self, function: Callable[[T], R], task: T) -> Future[R]:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._workers, context, _end_with_parent, (os.getpid(),))
        try:
            return self._pool.submit(function, task)
        except BrokenProcessPool as error:
            future: Future[R] = Future()
            future.set_exception(error)
            return future

    def _alone(self, function: Callable[[T], R], task: T, given_up: Callable[[T], R]) -> R:
        for _ in range(_ATTEMPTS):
            try:
                return self._submit(function, task).result()
            except BrokenProcessPool:
                self._restart()
        return given_up(task)

    def _restart(self) -> None:
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = None


def _end_with_parent(parent: int) -> None:
    """Ends this worker when its parent is gone, even if that was killed and could tell nobody."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
