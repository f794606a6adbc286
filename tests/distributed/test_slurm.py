"""A real Slurm: a job of two tasks is preempted, requeued, and ends as if it had not been."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from distributed.conftest import PATIENCE
from safetensors.numpy import load_file

SCRIPT = Path(__file__).with_name("slurm.sh")
STEPS = 40

BATCH = """#!/bin/bash
srun {command}
code=$?
echo "exit code $code"
if [ $code -eq 75 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $code
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which Slurm's commands find the one of this test.

    It is installed where that harms nobody: by root, in a container (no systemd) of Debian or Ubuntu.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can start Slurm")
    if not shutil.which("slurmctld"):
        if Path("/run/systemd/system").exists() or not shutil.which("apt-get"):
            pytest.skip(f"no Slurm: {SCRIPT.name} install")
        if subprocess.run([SCRIPT, "install"], capture_output=True, check=False).returncode:
            pytest.skip("Slurm's packages cannot be installed here")
    folder = tmp_path_factory.mktemp("slurm")
    environ = {"SLURM_CONF": str(folder / "slurm.conf")}
    try:
        subprocess.run([SCRIPT, "start", folder], check=True, timeout=120)
        yield environ
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=False)


@pytest.fixture
def submit(slurm: dict, environ: dict, options: list[str], root: Path, tmp_path: Path) -> Callable[[str], str]:
    """Submits a training of two tasks, and gives the job's number."""

    def run(workdir: str) -> str:
        command = [sys.executable, "-m", "adiff_jax.train", f"--workdir={tmp_path / workdir}", *options]
        command += [f"--config.steps={STEPS}", "--config.checkpoint.every=5", "--config.preview_every=1000000"]
        batch = tmp_path / f"{workdir}.sh"
        batch.write_text(BATCH.format(command=" ".join(f"'{word}'" for word in command)))
        log = tmp_path / f"{workdir}.log"
        words = ["sbatch", "--parsable", "--requeue", "--open-mode=append", "-n2", f"-o{log}", f"-D{root}", batch]
        return subprocess.run(words, env=environ | slurm, check=True, capture_output=True, text=True).stdout.strip()

    return run


def state(job: str, slurm: dict) -> str:
    words = ["scontrol", "show", "job", "-o", job]
    text = subprocess.run(words, env=os.environ | slurm, check=True, capture_output=True, text=True).stdout
    return dict(word.split("=", 1) for word in text.split() if "=" in word)["JobState"]


def wait_for(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


@pytest.mark.slow
def test_preempted_and_requeued(slurm: dict, submit: Callable, tmp_path: Path) -> None:
    weights = {}
    for workdir in ("cut", "whole"):
        log = tmp_path / f"{workdir}.log"
        job = submit(workdir)
        if workdir == "cut":
            checkpoint = tmp_path / workdir / "checkpoints" / "5"
            wait_for(lambda path=checkpoint, job=job: path.is_dir() or state(job, slurm) == "FAILED", log)
            subprocess.run(["scancel", "--signal=TERM", job], env=os.environ | slurm, check=True)
        wait_for(lambda job=job: state(job, slurm) in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"), log)
        assert state(job, slurm) == "COMPLETED", log.read_text()
        assert ("exit code 75" in log.read_text()) == (workdir == "cut"), log.read_text()
        weights[workdir] = load_file(tmp_path / workdir / "export" / "sdit" / "model.safetensors")
    for name, value in weights["whole"].items():
        np.testing.assert_array_equal(weights["cut"][name], value, err_msg=name)
