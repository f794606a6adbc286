"""Start-up: one process, or one of many, and what they must agree on before they work together."""

import glob
import importlib.util
import json
import os
from collections import defaultdict
from collections.abc import Mapping
from typing import Literal

import jax
import numpy as np
from jax.experimental import multihost_utils

Place = Literal["one process", "announced", "Slurm", "TPU"]


class DisagreementError(ValueError):
    """Hosts that are not in the same run: says who has what."""


def find_place(environ: Mapping[str, str] = os.environ) -> Place:
    """How this process was started, from the environment alone.

    - `announced`: `JAX_NUM_PROCESSES` with `JAX_COORDINATOR_ADDRESS` and `JAX_PROCESS_ID`. Instead of the last, the
      `JOB_COMPLETION_INDEX` that Kubernetes gives to every pod of an indexed job (JobSet on GPUs) will do.
    - `Slurm`: inside `srun` with several tasks (`SLURM_STEP_NUM_TASKS`; `sbatch` alone does not set it).
    - `TPU`: a TPU VM, one host or a whole slice, and pods of TPUs on GKE (`TPU_WORKER_HOSTNAMES`); several slices too.
    """
    if "JAX_NUM_PROCESSES" in environ:
        return "one process" if environ["JAX_NUM_PROCESSES"] == "1" else "announced"
    if int(environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        return "Slurm"
    several = "," in environ.get("TPU_WORKER_HOSTNAMES", "") or "MEGASCALE_COORDINATOR_ADDRESS" in environ
    if several or (_has_tpu(environ) and "TPU_WORKER_HOSTNAMES" not in environ):
        return "TPU"
    return "one process"


def start(environ: Mapping[str, str] = os.environ) -> None:
    """Joins the run's other processes, if there are any. Call before any other use of JAX.

    Raises:
        ValueError: if `JAX_NUM_PROCESSES` is given without the address and the number of this process.
    """
    match find_place(environ):
        case "announced":
            number = environ.get("JAX_PROCESS_ID", environ.get("JOB_COMPLETION_INDEX"))
            missing = [] if "JAX_COORDINATOR_ADDRESS" in environ else ["JAX_COORDINATOR_ADDRESS"]
            missing += [] if number is not None else ["JAX_PROCESS_ID"]
            if missing:
                raise ValueError(f"JAX_NUM_PROCESSES is set, but not {' and '.join(missing)}")
            jax.distributed.initialize(
                environ["JAX_COORDINATOR_ADDRESS"],
                int(environ["JAX_NUM_PROCESSES"]),
                int(number),
                cluster_detection_method="deactivate",  # else JAX may find a cluster, and take one GPU of it alone
            )
        case "Slurm":
            jax.distributed.initialize(local_device_ids=slurm_gpus(environ))
        case "TPU":
            jax.distributed.initialize()  # JAX asks the TPU's metadata


def slurm_gpus(environ: Mapping[str, str]) -> list[int] | None:
    """Which of the GPUs that it sees a Slurm task works with; None if it sees none.

    All, if it is alone on its machine or Slurm has bound it to some (`--gpus-per-task`); else its share of the
    machine's. JAX by itself would take one a task.
    """
    if not environ.get("CUDA_VISIBLE_DEVICES"):
        return None
    visible = len(environ["CUDA_VISIBLE_DEVICES"].split(","))
    tasks = int(environ.get("SLURM_STEP_TASKS_PER_NODE", "1").split("(")[0].split(",")[0])
    bound = visible < int(environ.get("SLURM_GPUS_ON_NODE", visible))
    if tasks == 1 or bound or visible < tasks:
        return list(range(visible))
    share, place = visible // tasks, int(environ["SLURM_LOCALID"])
    return list(range(place * share, (place + 1) * share))


def is_leader() -> bool:
    """Whether this process is the one that writes what a run has one of: logs, samples, exports."""
    return jax.process_index() == 0


def agree(facts: Mapping[str, str], remedy: str) -> None:
    """Makes sure that all hosts have the same facts. Every process must call it.

    Args:
        facts: what must be equal, by name.
        remedy: what to do where it is not; ends the message.

    Raises:
        DisagreementError: the same on every host, with every fact that differs and who has which value.
    """
    everybody = gather(facts)
    complaints = []
    for name in sorted(set().union(*everybody)):
        hosts = defaultdict(list)
        for host, theirs in enumerate(everybody):
            hosts[theirs.get(name, "nothing")].append(host)
        if len(hosts) > 1:
            values = ", ".join(f"{value} on {_hosts(numbers)}" for value, numbers in hosts.items())
            complaints.append(f"{name} is {values}")
    if complaints:
        raise DisagreementError(f"the hosts disagree: {'; '.join(complaints)}: {remedy}")


def gather(facts: Mapping[str, str]) -> list[dict[str, str]]:
    """Every process's facts, in the order of processes. Every process must call it."""
    if jax.process_count() == 1:
        return [dict(facts)]
    text = np.frombuffer(json.dumps(dict(facts)).encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.int32(len(text))).reshape(-1)
    padded = np.zeros(lengths.max(), np.uint8)
    padded[: len(text)] = text
    texts = np.asarray(multihost_utils.process_allgather(padded)).reshape(len(lengths), -1)
    return [json.loads(row[:length].tobytes()) for row, length in zip(texts, lengths)]


def gather_numbers(values: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Every process's numbers: an array over processes for each name. Every process must call it."""
    row = np.asarray(list(values.values()), np.float32)
    rows = row[None] if jax.process_count() == 1 else np.asarray(multihost_utils.process_allgather(row))
    return dict(zip(values, rows.reshape(-1, len(row)).T))


def wait_for_all(name: str) -> None:
    """Returns when every process has called it with the same name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def _has_tpu(environ: Mapping[str, str]) -> bool:
    """Whether this machine has TPUs that JAX will use."""
    platforms = environ.get("JAX_PLATFORMS", "tpu")
    chips = glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*")
    return "tpu" in platforms and bool(chips) and importlib.util.find_spec("libtpu") is not None


def _hosts(numbers: list[int], most: int = 8) -> str:
    rest = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return f"host{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:most]))}{rest}"
