"""Start-up: what the environment says, without starting anything."""

import jax
import pytest

from adiff_jax.runtime.distributed import announced_processes, is_leader, start


@pytest.mark.parametrize(
    ("environ", "processes"),
    [
        ({}, 1),
        ({"JAX_NUM_PROCESSES": "4"}, 4),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"}, 2),
        ({"SLURM_NTASKS": "2"}, 1),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, 1),
        ({"TPU_WORKER_HOSTNAMES": "a,b,c"}, 3),
    ],
)
def test_announced_processes(environ: dict[str, str], processes: int) -> None:
    assert announced_processes(environ) == processes


def test_start_joins_whom_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args: calls.append(args))
    start({})
    assert calls == []
    start({"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1", "JAX_COORDINATOR_ADDRESS": "host:1234"})
    start({"SLURM_STEP_NUM_TASKS": "2"})
    assert calls == [("host:1234", 2, 1), ()]


def test_half_an_announcement_is_an_error() -> None:
    with pytest.raises(ValueError, match="not JAX_COORDINATOR_ADDRESS and JAX_PROCESS_ID"):
        start({"JAX_NUM_PROCESSES": "2"})


def test_one_process_is_the_leader() -> None:
    assert is_leader()
