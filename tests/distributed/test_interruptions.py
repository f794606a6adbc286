"""Runs of one and of several processes that are stopped, killed, or should not have been started together."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from distributed.conftest import finish, rows, wait_for
from safetensors.numpy import load_file

from adiff_jax.runtime.checkpoints import Checkpoints

KILLS = int(os.environ.get("ADIFF_KILLS", "1"))
ENDLESS = "--config.steps=1000000"
MODULE = ["-m", "adiff_jax.train"]


@pytest.fixture
def command(options: list[str], tmp_path: Path) -> Callable[..., list[str]]:
    def make(workdir: str, *more: str) -> list[str]:
        saves = [
            "--config.optimizer.schedule=constant",
            "--config.checkpoint.every=1",
            "--config.preview_every=1000000",
        ]
        return [*MODULE, *options, *saves, f"--workdir={tmp_path / workdir}", *more]

    return make


def weights(workdir: Path) -> dict[str, np.ndarray]:
    return load_file(workdir / "export" / "sdit" / "model.safetensors")


def committed(workdir: Path) -> int:
    """Step of the newest checkpoint, 0 if there is none."""
    folders = (workdir / "checkpoints").glob("*")
    return max((int(path.name) for path in folders if path.name.isdigit()), default=0)


@pytest.mark.slow
def test_killed_at_any_moment_a_run_ends_with_the_same_weights(
    tmp_path: Path, start: Callable, command: Callable
) -> None:
    """`ADIFF_KILLS` says how often: saves follow each other without a pause, so nearly every kill hits one."""
    cut, last, in_a_save = tmp_path / "cut", 0, 0
    rng = np.random.default_rng(int(os.environ.get("ADIFF_KILLS_SEED", "0")))
    for _ in range(KILLS):
        process = start(command("cut", ENDLESS))
        wait_for(lambda last=last: committed(cut) > last, process)
        time.sleep(rng.uniform(0, 0.5))
        process[0].send_signal(signal.SIGKILL)
        finish(process)
        in_a_save += any("tmp" in path.name for path in (cut / "checkpoints").iterdir())
        other = Checkpoints(cut / "checkpoints", read_only=True)
        assert other.latest is not None and other.latest > last
        last = other.latest
        other.close()
    print(f"{KILLS} kills, {in_a_save} of them in the middle of a save, up to step {last}")
    for workdir in ("cut", "whole"):
        (process,) = run = start(command(workdir, f"--config.steps={last + 2}"))
        (output,) = finish(run)
        assert process.returncode == 0, output
    for name, value in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(weights(cut)[name], value, err_msg=name)


@pytest.mark.slow
def test_sigterm_to_one_host_stops_all_and_one_process_goes_on(
    tmp_path: Path, start: Callable, command: Callable
) -> None:
    run = start(command("cut", ENDLESS), command("cut", ENDLESS))
    wait_for(lambda: committed(tmp_path / "cut") >= 2, run)
    run[1].send_signal(signal.SIGTERM)
    output = finish(run)
    assert [process.returncode for process in run] == [os.EX_TEMPFAIL] * 2, output
    last = committed(tmp_path / "cut")
    assert {"slowest_host", "slowest_host_lag", "input_wait"} <= rows(tmp_path / "cut")[0].keys()
    assert rows(tmp_path / "cut")[-1]["step"] == last

    for workdir in ("cut", "whole"):
        (process,) = run = start(command(workdir, f"--config.steps={last + 1}"))
        (output,) = finish(run)
        assert process.returncode == 0, output
    for name, value in weights(tmp_path / "whole").items():  # two processes add up in another order
        np.testing.assert_allclose(weights(tmp_path / "cut")[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_hosts_that_disagree_are_told_so_before_the_first_step(
    tmp_path: Path, start: Callable, command: Callable
) -> None:
    run = start(command("run"), command("run", "--config.seed=1", "--config.data.size=64"))
    for process, output in zip(run, finish(run)):
        assert process.returncode == 2, output
        assert "config.seed is 0 on host 0, 1 on host 1" in output
        assert "config.data.size is 32 on host 0, 64 on host 1" in output
        assert "Traceback" not in output
    assert not (tmp_path / "run").exists()
