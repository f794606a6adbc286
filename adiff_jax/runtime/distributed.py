"""Start-up: one process, or one of many."""

import os
from collections.abc import Mapping

import jax


def announced_processes(environ: Mapping[str, str] = os.environ) -> int:
    """How many processes the environment says this run has.

    Known are `JAX_NUM_PROCESSES` (with `JAX_COORDINATOR_ADDRESS` and `JAX_PROCESS_ID`), Slurm's `SLURM_STEP_NUM_TASKS`
    (set inside `srun`, not by `sbatch` alone) and the TPU runtime's `TPU_WORKER_HOSTNAMES`.
    """
    if "JAX_NUM_PROCESSES" in environ:
        return int(environ["JAX_NUM_PROCESSES"])
    if "SLURM_STEP_NUM_TASKS" in environ:
        return int(environ["SLURM_STEP_NUM_TASKS"])
    return len(environ.get("TPU_WORKER_HOSTNAMES", "localhost").split(","))


def start(environ: Mapping[str, str] = os.environ) -> None:
    """Joins the run's other processes, if the environment announces any. Call before any other use of JAX.

    Raises:
        ValueError: if `JAX_NUM_PROCESSES` is given without the address and the number of this process.
    """
    if announced_processes(environ) == 1:
        return
    if "JAX_NUM_PROCESSES" not in environ:
        jax.distributed.initialize()
        return
    missing = [name for name in ("JAX_COORDINATOR_ADDRESS", "JAX_PROCESS_ID") if name not in environ]
    if missing:
        raise ValueError(f"JAX_NUM_PROCESSES is set, but not {' and '.join(missing)}")
    jax.distributed.initialize(
        environ["JAX_COORDINATOR_ADDRESS"], announced_processes(environ), int(environ["JAX_PROCESS_ID"])
    )


def is_leader() -> bool:
    """Whether this process is the one that writes what a run has one of: logs, samples, exports."""
    return jax.process_index() == 0
