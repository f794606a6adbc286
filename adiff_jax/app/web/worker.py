"""A process that has the models and does one job at a time; a job that is cancelled ends with its process."""

import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from adiff_jax.app.web.jobs import UNEXPECTED, Advance, Failed, Job, Report

POLL = 0.2  # seconds


class Worker:
    """Runs jobs in a process of its own, started with the first job and again after one was cancelled.

    Args:
        bundle: what the pipeline is loaded from.
        landmark_model: of the pipeline.
        max_seconds: that a job may take.
        scratch: folder of its own for temporary files, emptied when the process ends.
    """

    def __init__(self, bundle: str, landmark_model: str | None, max_seconds: float, scratch: Path):
        self._loading = (bundle, landmark_model, scratch)
        self._scratch = scratch
        self._max_seconds = max_seconds
        self._lock = threading.Lock()
        self._closed = False
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None

    def start(self) -> None:
        """Starts the process, which loads the models, if it does not run."""
        with self._lock:
            if self._closed or (self._process is not None and self._process.is_alive()):
                return
            self._scratch.mkdir(parents=True, exist_ok=True)
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_work, args=(theirs, *self._loading), daemon=True)
            self._process.start()
            theirs.close()

    def run(self, job: Job, cancelled: threading.Event) -> Iterator[Report | None]:
        """Does a job.

        Yields:
            Reports, the last one `Done` or `Failed`; None whenever there is nothing new.
        """
        self.start()
        if self._connection is None:
            yield Failed("The page is closing down.")
            return
        end = time.monotonic() + self._max_seconds
        try:
            self._connection.send(job)
            while True:
                if cancelled.is_set():
                    self.stop()
                    yield Failed("Cancelled.")
                    return
                if time.monotonic() > end:
                    self.stop()
                    yield Failed(f"This took more than {self._max_seconds / 60:.0f} minutes and was stopped.")
                    return
                if not self._connection.poll(POLL):
                    yield None
                    continue
                report = self._connection.recv()
                yield report
                if not isinstance(report, Advance):
                    return
        except (EOFError, OSError):
            self.stop()
            yield Failed("The process that makes videos ended, perhaps for lack of memory. Try a shorter clip.")
        except GeneratorExit:
            self.stop()
            raise

    def close(self) -> None:
        """Ends the process for good."""
        self._closed = True
        self.stop()

    def stop(self) -> None:
        """Ends the process, whatever it does; the next job starts another."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.join()
                self._connection.close()
                shutil.rmtree(self._scratch, ignore_errors=True)
            self._process = None


def _work(connection: Connection, bundle: str, landmark_model: str | None, scratch: Path) -> None:
    """The process: jobs in, reports out, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    tempfile.tempdir = str(scratch)
    from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
    from adiff_jax.app.web.making import make

    pipeline = failure = None
    try:
        pipeline = AnchoredDiffusionPipeline.from_pretrained(bundle, landmark_model=landmark_model)
    except Exception:
        failure = Failed(UNEXPECTED, traceback.format_exc())  # in place of a video, so that it comes to the log
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            report = failure or make(pipeline, job, connection.send)
        except BrokenPipeError:
            return
        except (ValueError, OSError) as error:
            report = Failed(_without_folders(str(error), job))
        except Exception:
            report = Failed(UNEXPECTED, traceback.format_exc())
        connection.send(report)


def _without_folders(message: str, job: Job) -> str:
    """An error message as visitors see it: files by their name alone."""
    for path in (job.source, job.driving, os.fspath(job.out)):
        if path and os.sep in path:
            message = message.replace(path, Path(path).name)
    return " ".join(message.split())
