"""The command line, in processes of its own: exit codes and one-line errors."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adiff_jax.runtime.checkpoints import Checkpoints
from adiff_jax.train import BUSY
from adiff_jax.train.start import hold

TINY = ["--config=configs/autoencoder.py:small128,tiny", "--config.steps=8"]


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Callable[..., subprocess.Popen]:
    environ = os.environ | {
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def run(workdir: str, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "adiff_jax.train", f"--workdir={tmp_path / workdir}", *options]
        pipes = {"stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=root, env=environ, start_new_session=True, **pipes)

    return run


def wait_for(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


def finish(process: subprocess.Popen) -> str:
    """Standard error of a process that has ended."""
    return process.communicate(timeout=600)[1]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 0), (signal.SIGINT, 1)])
def test_a_signal_saves_and_says_that_there_is_more_to_do(
    start: Callable, tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    process = start("run", *TINY, "--config.steps=1000000", f"--config.data.num_workers={workers}")
    wait_for(lambda: (tmp_path / "run" / "checkpoints" / "2").is_dir(), process)
    os.killpg(process.pid, number)  # as a terminal does, and Slurm: workers of the loader get it too
    finish(process)
    assert process.returncode == os.EX_TEMPFAIL
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert Checkpoints(tmp_path / "run" / "checkpoints").latest == len(lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config=configs/autoencoder.py:tiny", "--data=nowhere"], "nowhere"),
        (["--config=configs/autoencoder.py:tiny", "--config.task=vae"], "task 'vae' is none of"),
        (["--config=configs/autoencoder.py:tiny", "--workdir=gs://bucket/run"], "mount the bucket"),
        (["--config=configs/autoencoder.py:tiny", "--config.nope=1"], "the config has no such option: nope"),
        (["--config=configs/autoencoder.py:nope"], "config argument 'nope' is not one of"),
        (["--config=nope.py"], "No such file or directory: 'nope.py'"),
    ],
)
def test_errors_are_one_line(start: Callable, options: list[str], message: str) -> None:
    process = start("run", *options)
    error = finish(process)
    assert process.returncode == 2
    assert message in error.splitlines()[-1]
    assert "Traceback" not in error


def test_another_run_at_work_has_an_exit_code_of_its_own(start: Callable, tmp_path: Path) -> None:
    with hold(tmp_path / "run"):
        process = start("run", *TINY)
        error = finish(process)
    assert process.returncode == BUSY
    assert "another run is at work" in error.splitlines()[-1]


def test_help_lists_the_flags(root: Path) -> None:
    command = [sys.executable, "-m", "adiff_jax.train", "--help"]
    text = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    for flag in ("--config", "--workdir", "--data"):
        assert f"  {flag}: " in text
