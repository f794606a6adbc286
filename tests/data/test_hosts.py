"""Two processes with two virtual devices each see, together, exactly the batches that one process sees."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from adiff_jax.data.loader import make_loader
from adiff_jax.data.source import open_source
from adiff_jax.data.transforms import sdit_transforms
from adiff_jax.prep.engine import prepare
from adiff_jax.prep.options import PrepareOptions

BATCH, STEPS, RESUMED = 8, 5, 3
PROGRAM = """
import os, sys

import jax
import numpy as np

from adiff_jax.data.loader import make_loader
from adiff_jax.data.source import open_source
from adiff_jax.data.transforms import sdit_transforms
from adiff_jax.runtime.distributed import start
from adiff_jax.runtime.sharding import make_mesh, process_rows, shard_batch

records, out, skip, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
start()
mesh = make_mesh({"data": -1})
batches = make_loader(
    open_source(records),
    sdit_transforms(2, encoded=False, far_anchor=0.5),
    batch_size=8,
    seed=3,
    rows=process_rows(mesh, 8),
)
batches.set_state({"batches": skip})
seen = {}
for step in range(skip, skip + steps):
    landmarks = shard_batch(mesh, next(batches))["landmarks"]
    assert landmarks.shape[0] == 8 and not landmarks.is_fully_addressable
    assert len(landmarks.addressable_shards) == 2
    for shard in landmarks.addressable_shards:
        seen[f"{step}:{shard.index[0].start or 0}"] = np.asarray(shard.data)
batches.close()
np.savez(f"{out}/{jax.process_index()}-{skip}.npz", **seen)
"""


@pytest.mark.slow
def test_two_processes_see_the_batches_of_one(root, tmp_path):
    records = tmp_path / "records"
    prepare("synthetic:11", records, PrepareOptions(size=32, longest=6, shortest=2, synthetic_labels=False))
    alone = make_loader(
        open_source(records), sdit_transforms(2, encoded=False, far_anchor=0.5), batch_size=BATCH, seed=3
    )
    batches = [next(alone)["landmarks"] for _ in range(STEPS)]
    alone.close()
    # In the middle of an epoch of eleven clips the run is stopped and goes on.
    _run_two(root, tmp_path, records, 0, RESUMED)
    _run_two(root, tmp_path, records, RESUMED, STEPS - RESUMED)
    seen = {}
    for path in tmp_path.glob("*.npz"):
        with np.load(path) as parts:
            seen |= dict(parts)
    for step, batch in enumerate(batches):
        together = np.concatenate([seen[f"{step}:{row}"] for row in range(0, BATCH, 2)])
        np.testing.assert_array_equal(together, batch)


def _run_two(root, tmp_path, records, skip: int, steps: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    processes = []
    for index in range(2):
        environment = os.environ | {
            "PYTHONPATH": str(root),
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
            "JAX_NUM_PROCESSES": "2",
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
            "JAX_PROCESS_ID": str(index),
        }
        command = [sys.executable, str(program), str(records), str(tmp_path), str(skip), str(steps)]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], json.dumps(errors)
