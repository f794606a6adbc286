"""Start-up: what the environment says, without starting anything; and what hosts that disagree are told."""

import jax
import pytest

from adiff_jax.runtime import distributed
from adiff_jax.runtime.distributed import (
    DisagreementError,
    agree,
    find_place,
    gather,
    gather_numbers,
    is_leader,
    slurm_gpus,
    start,
)


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({}, "one process"),
        ({"JAX_NUM_PROCESSES": "1"}, "one process"),
        ({"JAX_NUM_PROCESSES": "4"}, "announced"),
        ({"JAX_NUM_PROCESSES": "4", "SLURM_STEP_NUM_TASKS": "4"}, "announced"),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"}, "Slurm"),
        ({"SLURM_STEP_NUM_TASKS": "1"}, "one process"),
        ({"SLURM_NTASKS": "2"}, "one process"),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, "one process"),
        ({"TPU_WORKER_HOSTNAMES": "a,b,c"}, "TPU"),
        ({"TPU_WORKER_HOSTNAMES": "a", "MEGASCALE_COORDINATOR_ADDRESS": "b"}, "TPU"),
    ],
)
def test_find_place(environ: dict[str, str], place: str) -> None:
    assert find_place(environ) == place


def test_a_tpu_machine_asks_the_tpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed.glob, "glob", lambda pattern: ["/dev/accel0"] if "accel" in pattern else [])
    monkeypatch.setattr(distributed.importlib.util, "find_spec", lambda name: object())
    assert find_place({}) == "TPU"
    assert find_place({"JAX_PLATFORMS": "cpu"}) == "one process"
    assert find_place({"TPU_WORKER_HOSTNAMES": "localhost"}) == "one process"


def test_start_joins_whom_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **options: calls.append((*args, options)))
    start({})
    assert calls == []
    announced = {"JAX_NUM_PROCESSES": "2", "JAX_COORDINATOR_ADDRESS": "host:1234"}
    start(announced | {"JAX_PROCESS_ID": "1"})
    start(announced | {"JOB_COMPLETION_INDEX": "0"})
    start({"SLURM_STEP_NUM_TASKS": "2"})
    alone = {"cluster_detection_method": "deactivate"}
    assert calls == [("host:1234", 2, 1, alone), ("host:1234", 2, 0, alone), ({"local_device_ids": None},)]


@pytest.mark.parametrize(
    ("visible", "on_node", "tasks", "place", "gpus"),
    [
        ("0,1,2,3", "4", "1(x2)", 0, [0, 1, 2, 3]),  # alone on its machine
        ("0,1,2,3", "4", "4", 3, [3]),
        ("0,1,2,3", "4", "2(x3)", 1, [2, 3]),
        ("2,3", "4", "2", 1, [0, 1]),  # bound by Slurm
        ("5", "8", "8", 5, [0]),
    ],
)
def test_a_slurm_task_works_with_its_gpus(visible: str, on_node: str, tasks: str, place: int, gpus: list[int]) -> None:
    environ = {
        "CUDA_VISIBLE_DEVICES": visible,
        "SLURM_GPUS_ON_NODE": on_node,
        "SLURM_STEP_TASKS_PER_NODE": tasks,
        "SLURM_LOCALID": str(place),
    }
    assert slurm_gpus(environ) == gpus


def test_half_an_announcement_is_an_error() -> None:
    with pytest.raises(ValueError, match="not JAX_COORDINATOR_ADDRESS and JAX_PROCESS_ID"):
        start({"JAX_NUM_PROCESSES": "2"})


def test_one_process_is_the_leader_and_agrees_with_itself() -> None:
    assert is_leader()
    agree({"code": "1"}, "")
    assert gather({"code": "1"}) == [{"code": "1"}]
    assert gather_numbers({"a": 2.0})["a"].tolist() == [2.0]


def test_a_disagreement_names_the_facts_and_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [{"seed": "0", "code": "1"}, {"seed": "0", "code": "2"}, {"seed": "0", "code": "1"}, {"seed": "0"}]
    monkeypatch.setattr(distributed, "gather", lambda facts: hosts)
    with pytest.raises(DisagreementError) as raised:
        agree(hosts[0], "install the same")
    assert str(raised.value) == (
        "the hosts disagree: code is 1 on hosts 0, 2, 2 on host 1, nothing on host 3: install the same"
    )
