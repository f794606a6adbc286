"""Where the runs of a sweep are done: processes of this machine, a Slurm array, a Kubernetes JobSet."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from tqdm import tqdm

from adiff_jax.train import BUSY, STOPPED
from launch.sweep.plan import Run, Sweep

LAUNCH = Path(__file__).resolve().parent.parent
POLL = 0.2  # seconds


def run_here(sweep: Sweep, runs: Sequence[Run], arguments: Sequence[str], jobs: int) -> int:
    """Does runs as processes of this machine, so many at a time; what they print goes to `log.txt` in each directory.

    SIGINT and SIGTERM are passed on, so that runs save where they are. A run that was killed, or that another process
    is at work on, stays open.

    Returns:
        0 if all came to an end, 75 if it was stopped and is to be continued; else what one of the open runs ended
        with: 128 and the number of the signal that killed it, or 69.
    """
    waiting, running, left = list(runs), {}, []
    bar = tqdm(desc="sweep", total=len(sweep.runs), initial=len(sweep.runs) - len(runs), unit=" runs")
    with _passing_on(running) as stopped, bar:
        while (waiting and not stopped) or running:
            while waiting and not stopped and len(running) < jobs:
                run = waiting.pop(0)
                run.directory.mkdir(parents=True, exist_ok=True)
                log = (run.directory / "log.txt").open("a")
                # A session of its own: Ctrl-C must reach it once, through us.
                command = run.command(sweep.config, arguments)
                running[run] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
                log.close()
            for run, process in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[run]
                killed, code = code < 0, abs(code) + 128 * (code < 0)  # as a shell has it
                if killed or code in (STOPPED, BUSY):
                    left.append(code)
                else:
                    run.conclude(code)
                    bar.update()
                if code not in (0, STOPPED):
                    tqdm.write(f"{run.name} failed with exit code {code}: {_last_line(run.directory / 'log.txt')}")
            time.sleep(POLL)
        if stopped and (left or waiting):
            return STOPPED
    return max(left, default=0)


def submit_to_slurm(sweep: Sweep, out: Path, arguments: Sequence[str], jobs: int, options: Sequence[str]) -> str:
    """Submits the open runs as one array job, so many at a time; returns what `sbatch` says.

    Args:
        sweep: its open runs are submitted.
        out: directory of the sweep, on a disk that all nodes share.
        arguments: of the training.
        jobs: runs at a time.
        options: of `sbatch`, such as `--partition=gpu`.
    """
    indices = ",".join(str(run.index) for run in sweep.open)
    out.mkdir(parents=True, exist_ok=True)
    command = ["sbatch", f"--array={indices}%{jobs}", f"--output={out}/slurm-%a.log", *options]
    command += [str(LAUNCH / "slurm" / "sweep.sbatch"), str(sweep.file), f"--out={out}", "--", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def jobset(sweep: Sweep, out: Path, arguments: Sequence[str], jobs: int) -> str:
    """The manifest of a JobSet that does the runs, each a pod, so many at a time; for `kubectl apply -f -`.

    Args:
        sweep: its runs are done.
        out: directory of the sweep, as the pods see it: on a volume or bucket that is mounted in them.
        arguments: of the training.
        jobs: pods at a time.
    """
    manifest = yaml.safe_load((LAUNCH / "gke" / "sweep.yaml").read_text())
    job = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    job["completions"], job["parallelism"] = len(sweep.runs), min(jobs, len(sweep.runs))
    container = job["template"]["spec"]["containers"][0]
    container["command"] = ["python", "-m", "launch.sweep", str(sweep.file), f"--out={out}"]
    container["command"] += ["--only=$(JOB_COMPLETION_INDEX)", "--", *arguments]  # what is finished ends at once
    return yaml.safe_dump(manifest, sort_keys=False)


@contextlib.contextmanager
def _passing_on(running: dict[Run, subprocess.Popen]) -> Iterator[list[int]]:
    """Signals that came, in a list that is empty while none has; each is passed on to the processes as SIGTERM."""
    received: list[int] = []

    def receive(number: int, frame: object) -> None:
        received.append(number)
        for process in running.values():
            process.send_signal(signal.SIGTERM)

    previous = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
