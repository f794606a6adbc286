"""The training iterator: one function from a source of clips to batches of arrays."""

import signal
from collections.abc import Sequence
from typing import Any, SupportsIndex

import grain
import numpy as np
from absl import flags

from adiff_jax.data.source import ClipSource


def make_loader(
    source: ClipSource,
    transforms: Sequence[grain.transforms.Map | grain.transforms.RandomMap],
    *,
    batch_size: int,
    seed: int,
    num_workers: int = 0,
    num_threads: int = 4,
    prefetch: int = 8,
    rows: Sequence[int] | None = None,
    num_epochs: int | None = None,
) -> "Batches":
    """Shuffled, transformed batches, a dict of NumPy arrays `[len(rows), ...]` each.

        source ─► shuffle ─► repeat ─► transforms ─► this process's rows of every batch ─► batch ─► prefetch

    The order of clips and every random draw follow from `seed` and the place in the global order alone: the rows of all
    processes, put together, are the batch that one process alone would see, whatever the number of workers.
    The iterator's state (`get_state`, `set_state`, `grain.checkpoint`) is the number of batches taken: it resumes
    exactly, with any number of processes and workers.
    Call `close()` on the iterator to stop its threads and worker processes.

    Args:
        source: clips by index.
        transforms: applied in order to each clip; the last one must give a dict of arrays of fixed shapes.
        batch_size: examples of a batch, over all processes.
        seed: root of all randomness, in [0, 2^32).
        num_workers: worker processes; 0 works in threads of this one, which is best on few cores, because decoding and
            drawing release Python's lock.
        num_threads: threads of each process that make batches.
        prefetch: batches made ahead, by each process.
        rows: which examples of every batch are this process's, in this order; None for all of them.
        num_epochs: times that the source is gone through; the last incomplete batch is dropped. None for ever.

    Raises:
        ValueError: if there are no such rows in a batch, or it is larger than all the data.
    """
    rows = range(batch_size) if rows is None else rows
    if not len(rows) or min(rows) < 0 or max(rows) >= batch_size:
        raise ValueError(f"rows {list(rows)} are not of a batch of {batch_size}")
    dataset = grain.MapDataset.source(source).seed(seed).shuffle().repeat(num_epochs)
    if len(dataset) < batch_size:
        raise ValueError(f"{len(dataset)} clips do not fill one batch of {batch_size}")
    for transform in transforms:
        random = isinstance(transform, grain.transforms.RandomMap)
        dataset = dataset.random_map(transform) if random else dataset.map(transform)
    dataset = _BatchRows(dataset, batch_size, rows)
    dataset = dataset.batch(len(rows), drop_remainder=True)
    return Batches(dataset, grain.ReadOptions(num_threads, prefetch), num_workers)


class Batches(grain.DatasetIterator):
    """Iterates over a dataset of batches, ahead of what is asked for; its state is how many were taken."""

    def __init__(self, dataset: grain.MapDataset, reading: grain.ReadOptions, num_workers: int):
        super().__init__()
        self._dataset, self._reading, self._num_workers = dataset, reading, num_workers
        self._taken = 0
        self._running: grain.DatasetIterator | None = None

    def __next__(self) -> dict[str, np.ndarray]:
        if self._running is None:
            self._running = self._start()
        batch = next(self._running)
        self._taken += 1
        return batch

    def _start(self) -> grain.DatasetIterator:
        batches = self._dataset[self._taken :].to_iter_dataset(self._reading)
        if self._num_workers:
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()  # grain's worker processes read absl flags.
            options = grain.MultiprocessingOptions(
                self._num_workers, per_worker_buffer_size=self._reading.prefetch_buffer_size
            )
            batches = batches.mp_prefetch(options, worker_init_fn=leave_signals)
        return iter(batches)

    def start_prefetch(self) -> None:
        """Begins to make batches before the first is asked for."""
        self._running = self._running or self._start()

    def get_state(self) -> dict[str, int]:
        """The number of batches that were taken."""
        return {"batches": self._taken}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues after as many batches.

        Raises:
            ValueError: the state is of another kind of iterator.
        """
        # Checkpoints of earlier versions hold grain's own state, which without workers is a number too.
        if "batches" not in state and "next_index" not in state:
            raise ValueError(f"not the state of a loader: {state}")
        self.close()
        self._taken = int(state["batches"] if "batches" in state else state["next_index"])

    def close(self) -> None:
        """Stops threads and worker processes."""
        if self._running is not None:
            self._running.close()
            self._running = None


def leave_signals(worker: int, workers: int) -> None:
    """In a worker process: Ctrl-C and SIGTERM reach it too, and it is the main process that stops it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class _BatchRows(grain.MapDataset):
    """The examples of one process: its rows of every global batch."""

    def __init__(self, parent: grain.MapDataset, batch_size: int, rows: Sequence[int]):
        super().__init__(parent)
        self._batch_size = batch_size
        self._rows = rows

    def __len__(self) -> int:
        return len(self._parent) // self._batch_size * len(self._rows)

    def __getitem__(self, index: SupportsIndex):
        if isinstance(index, slice):
            return self.slice(index)
        batch, place = divmod(index, len(self._rows))
        return self._parent[batch * self._batch_size + self._rows[place]]
