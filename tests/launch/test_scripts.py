"""The scripts, with stand-ins for the programs that they call."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from adiff_jax.train import STOPPED
from launch.sweep.places import LAUNCH

SLURM = ("train.sbatch", "sweep.sbatch")


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[[str, str], None]:
    """Puts a program of a name and a text first in the path of `environ`."""
    (tmp_path / "bin").mkdir()

    def write(name: str, text: str) -> None:
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    return write


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SRUN"))}
    return clean | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)}


@pytest.mark.parametrize("script", SLURM)
@pytest.mark.parametrize("code", [0, 2, STOPPED])
def test_a_stopped_job_goes_back_into_the_queue(script: str, code: int, stand_in: Callable, environ: dict) -> None:
    stand_in("srun", f"exit {code}")
    stand_in("scontrol", 'echo "scontrol $*"')
    environ |= {"SLURM_CPUS_ON_NODE": "64", "SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
    run = subprocess.run([LAUNCH / "slurm" / script], env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == code, run.stderr
    assert ("scontrol requeue 7" in run.stdout) == (code == STOPPED)


@pytest.mark.parametrize("script", SLURM)
@pytest.mark.parametrize(("given", "cpus"), [({}, "64"), ({"SLURM_CPUS_PER_TASK": "16"}, "16")])
def test_a_task_of_slurm_has_all_cpus_of_its_job(
    script: str, given: dict, cpus: str, stand_in: Callable, environ: dict
) -> None:
    stand_in("srun", "echo $SRUN_CPUS_PER_TASK")
    environ |= {"SLURM_CPUS_ON_NODE": "64", "SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"} | given
    run = subprocess.run([LAUNCH / "slurm" / script], env=environ, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [cpus]


def test_a_training_on_slurm_has_whole_machines() -> None:
    lines = (LAUNCH / "slurm" / "train.sbatch").read_text().splitlines()
    assert {"#SBATCH --exclusive", "#SBATCH --mem=0", "#SBATCH --ntasks-per-node=1"} <= set(lines)
