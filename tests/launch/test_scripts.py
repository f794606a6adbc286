"""The scripts, with stand-ins for the programs that they call."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adiff_jax.train import STOPPED
from launch.sweep.places import LAUNCH

SLURM = ("train.sbatch", "sweep.sbatch")
# Two workers, each a home. Every look at the state takes a line of `states` while there are several. The connection to
# the second worker fails as often as `broken` has lines.
GCLOUD = """
cd "$HOME" && shift 3 && echo "$1 $2" >>calls
case "$1 $2" in
  "queued-resources describe")
    head -n 1 states | grep -v NOT_FOUND || { echo "ERROR: NOT_FOUND: no such resource" >&2; code=1; }
    [[ $(wc -l <states) -eq 1 ]] || sed -i 1d states
    exit ${code:-0} ;;
  "queued-resources create") cat created >states ;;
  "queued-resources delete") echo NOT_FOUND >states ;;
  "tpu-vm ssh")
    command=${5#--command=}
    [[ $command != *apt-get* ]] || exit 0
    HOME=$HOME/0 bash -c "$command"
    [[ ! -s broken ]] || { sed -i 1d broken; exit 255; }
    HOME=$HOME/1 bash -c "$command" ;;
esac
"""
# Ends with the first of the `codes` that are left; the last one stays.
TRAINING = """
echo "$*" >>~/started
sleep "$(cat ~/../seconds)"
code=$(head -n 1 ~/codes)
[[ $(wc -l <~/codes) -eq 1 ]] || sed -i 1d ~/codes
exit "$code"
"""


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


@pytest.fixture
def pod(stand_in: Callable, environ: dict, tmp_path: Path, root: Path) -> Callable[..., subprocess.Popen]:
    """Starts `pod.sh` for a slice of two workers that is there, with trainings that end at once with 0."""
    stand_in("gcloud", GCLOUD)
    for worker in ("0", "1"):
        (tmp_path / worker / "venv" / "bin").mkdir(parents=True)
        (tmp_path / worker / "adiff_jax").mkdir()
        (tmp_path / worker / "codes").write_text("0\n")
        python = tmp_path / worker / "venv" / "bin" / "python"
        python.write_text(f"#!/bin/bash\n{TRAINING}")
        python.chmod(0o755)
    for name, text in {"states": "ACTIVE\n", "created": "ACTIVE\n", "seconds": "0\n"}.items():
        (tmp_path / name).write_text(text)

    def start(*words: str) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen([LAUNCH / "tpu" / "pod.sh", *words], env=environ | {"WAIT": "0.1"}, cwd=root, **pipes)

    return start


def started(tmp_path: Path) -> list[list[str]]:
    """The arguments of every training that was started on each worker."""
    files = [tmp_path / worker / "started" for worker in ("0", "1")]
    return [path.read_text().splitlines() if path.exists() else [] for path in files]


def end(process: subprocess.Popen) -> int:
    output, _ = process.communicate(timeout=60)
    print(output)
    return process.returncode


def calls(tmp_path: Path, verb: str) -> int:
    return (tmp_path / "calls").read_text().splitlines().count(f"queued-resources {verb}")


@pytest.mark.parametrize("codes", [(0, 0), (2, 2), (STOPPED, STOPPED), (0, STOPPED), (1, 134)])
def test_a_pod_says_how_its_training_ended(pod: Callable, codes: tuple[int, int], tmp_path: Path) -> None:
    for worker, code in enumerate(codes):
        (tmp_path / str(worker) / "codes").write_text(f"{code}\n")
    assert end(pod("train", "slice", "--config=a b", "--steps=1")) == max(codes)
    assert started(tmp_path) == [["-m adiff_jax.train --config=a b --steps=1"]] * 2


def test_a_lost_connection_harms_no_training(pod: Callable, tmp_path: Path) -> None:
    (tmp_path / "seconds").write_text("1\n")
    (tmp_path / "broken").write_text("at the start\nand later\n")
    assert end(pod("train", "slice")) == 0
    assert [len(times) for times in started(tmp_path)] == [1, 1]


def test_a_training_is_found_again_after_its_watcher_died(pod: Callable, tmp_path: Path) -> None:
    (tmp_path / "seconds").write_text("3\n")
    for worker in ("0", "1"):
        (tmp_path / worker / "codes").write_text(f"{STOPPED}\n0\n")
    watcher = pod("train", "slice")
    while not all(started(tmp_path)):
        assert watcher.poll() is None
        time.sleep(0.05)
    watcher.kill()
    watcher.communicate()
    assert end(pod("train", "slice")) == STOPPED
    assert [len(times) for times in started(tmp_path)] == [1, 1]


def test_a_pod_goes_on_when_its_machines_were_taken_away(pod: Callable, tmp_path: Path) -> None:
    # The machines go without a word, and Google says so only after some looks.
    (tmp_path / "1" / "codes").write_text("134\n0\n")
    (tmp_path / "states").write_text("ACTIVE\n" * 4 + "SUSPENDING\nSUSPENDED\n")
    assert end(pod("keep", "slice", "v5litepod-8")) == 0
    assert [len(times) for times in started(tmp_path)] == [2, 2]
    assert (calls(tmp_path, "delete"), calls(tmp_path, "create")) == (1, 1)


@pytest.mark.parametrize("code", [1, 2])
def test_a_training_that_fails_on_machines_that_are_there_is_not_repeated(
    pod: Callable, code: int, tmp_path: Path
) -> None:
    (tmp_path / "0" / "codes").write_text(f"{code}\n")
    assert end(pod("keep", "slice", "v5litepod-8")) == code
    assert [len(times) for times in started(tmp_path)] == [1, 1]
    # A mistake is one at once; anything else may be the first sign of machines that go.
    assert (calls(tmp_path, "describe") > 10) == (code == 1)


@pytest.mark.parametrize(
    ("states", "deleted", "created"),
    [
        ("NOT_FOUND", 0, 1),
        ("WAITING_FOR_RESOURCES ACTIVE", 0, 0),
        ("SUSPENDING SUSPENDED", 1, 1),
        ("FAILED", 1, 1),
        ("", 0, 0),
    ],
)
def test_a_request_that_waits_is_waited_for(
    pod: Callable, states: str, deleted: int, created: int, tmp_path: Path
) -> None:
    (tmp_path / "states").write_text("\n".join(states.split() or ["no network", "ACTIVE"]) + "\n")
    (tmp_path / "created").write_text("ACCEPTED\nPROVISIONING\nACTIVE\n")
    assert end(pod("create", "slice", "v5litepod-8")) == 0
    assert (calls(tmp_path, "delete"), calls(tmp_path, "create")) == (deleted, created)


def test_a_request_that_google_refuses_is_not_repeated(pod: Callable, tmp_path: Path) -> None:
    (tmp_path / "states").write_text("NOT_FOUND\n")
    (tmp_path / "created").write_text("ACCEPTED\nFAILED\n")
    assert end(pod("create", "slice", "v5litepod-8")) == 1
    assert calls(tmp_path, "create") == 1
