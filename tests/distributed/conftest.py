"""Small material to train on, and trainings in processes of their own, several of which are one run."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from tiny import random_params

from adiff_jax.data.schema import ClipInfo, ClipRecord
from adiff_jax.data.source import Manifest, Shard, sha256
from adiff_jax.models.autoencoder import AutoencoderConfig
from adiff_jax.weights.bundle import save_component

CLIPS, FRAMES = 24, 6
PATIENCE = 3600  # seconds that a run may take on a very busy machine
WORKER = Path(__file__).with_name("worker.py")


def write_records(folder: Path, clips: int = CLIPS) -> None:
    """Encoded clips of random latents."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    writer = ArrayRecordWriter(str(folder / "clips.arrayrecord"), "group_size:1")
    for index in range(clips):
        info = ClipInfo(id=f"clip-{index}", identity=f"p{index}", captions=("a person",), attributes={})
        moments = np.concatenate([rng.standard_normal((FRAMES, 4, 4, 4)), np.full((FRAMES, 4, 4, 4), -4.0)], axis=-1)
        record = ClipRecord(
            info,
            np.zeros((FRAMES, 8, 8, 3), np.uint8),
            np.arange(FRAMES) / 25,
            rng.uniform(-1, 1, (FRAMES, 478, 3)).astype(np.float32),
            moments=moments.astype(np.float16),
            clip_image=rng.standard_normal((FRAMES, 8)).astype(np.float16),
        )
        writer.write(record.to_bytes())
    writer.close()
    shard = Shard("clips.arrayrecord", clips, clips * FRAMES, sha256(folder / "clips.arrayrecord"))
    (folder / "manifest.json").write_text(Manifest(8, FRAMES, (shard,)).to_json())


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `records`, and the frozen `autoencoder` that they seem to be encoded by."""
    folder = tmp_path_factory.mktemp("material")
    write_records(folder / "records")
    config = AutoencoderConfig(
        latent_channels=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, patch_size=4
    )
    save_component(folder / "autoencoder", config, random_params(config))
    return folder


@pytest.fixture(scope="session")
def options(material: Path) -> list[str]:
    """Of a run of `python -m adiff_jax.train` that lasts seconds."""
    return [
        "--config=configs/sdit.py:small128,tiny",
        f"--data={material / 'records'}",
        "--config.data.encoded=True",
        f"--config.autoencoder={material / 'autoencoder'}",
        "--config.batch_size=8",
    ]


@pytest.fixture(scope="session")
def environ(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of every process: programs are compiled once and without optimisation."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")]),
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }


@pytest.fixture
def start(root: Path, environ: dict[str, str]):
    """Starts the processes of a run; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen] = []

    def run(*commands: Sequence[str], devices: int = 1) -> list[subprocess.Popen]:
        """One process for each command, with so many devices each; several join each other."""
        several = {}
        if len(commands) > 1:
            several = {"JAX_NUM_PROCESSES": str(len(commands)), "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}"}
        flags = f"{environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
        processes = [
            subprocess.Popen(
                [sys.executable, *command],
                cwd=root,
                env=environ | several | {"XLA_FLAGS": flags, "JAX_PROCESS_ID": str(number)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for number, command in enumerate(commands)
        ]
        started.extend(processes)
        return processes

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def train(start: Callable) -> Callable[..., None]:
    """Runs trainings of `worker.py` one after the other, in one start of so many processes."""

    def run(jobs: Sequence[dict], processes: int, devices: int) -> None:
        run = start(*[[str(WORKER), json.dumps(jobs)]] * processes, devices=devices)
        for process, output in zip(run, finish(run)):
            assert process.returncode == 0, output

    return run


def finish(processes: Sequence[subprocess.Popen]) -> list[str]:
    """What processes that end have said."""
    return [process.communicate(timeout=PATIENCE)[0] for process in processes]


def wait_for(condition: Callable[[], bool], processes: Sequence[subprocess.Popen]) -> None:
    """Waits, as long as all processes run."""
    while not condition():
        for process in processes:
            assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def rows(workdir: Path) -> list[dict]:
    """What a run wrote of each step that it logged."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
