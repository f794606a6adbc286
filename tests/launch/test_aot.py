import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from configs.sdit import get_config
from launch.aot import table
from launch.aot.programs import training_step
from launch.aot.report import ATTAINED, Finding
from launch.aot.topologies import CHIPS, GIB, Topology, get_topology

FINDING = Finding(
    topology="v5e:4x4",
    program="training step",
    config="configs/sdit.py:xl",
    mesh={"data": 2, "fsdp": 8, "tensor": 1, "group": 1},
    devices=16,
    compile_seconds=30.0,
    memory={"parameters": GIB, "optimiser": 2 * GIB, "average of parameters": GIB, "temporary": 4 * GIB},
    memory_limit=16 * GIB,
    flops=13e12,
    model_flops=10e12,
    hbm_bytes=1e10,
    collectives={"all-gather": 2e9, "reduce-scatter": 1e9},
    minimum_traffic=2.5e9,
    seconds={"matrix units": 0.1, "memory": 0.2, "links": 0.05},
    examples=512,
    runs=86_400,
    price=10.0,
)


def test_what_follows_from_the_figures() -> None:
    assert FINDING.memory_share == 0.5
    assert FINDING.flops_ratio == pytest.approx(1.3)
    assert FINDING.traffic_ratio == pytest.approx(1.2)
    assert FINDING.limit == "memory"
    assert FINDING.expected_seconds == pytest.approx(0.2 / ATTAINED)
    assert FINDING.days == pytest.approx(0.2 / ATTAINED)
    assert FINDING.cost == pytest.approx(0.2 / ATTAINED * 24 * 10)
    assert "fits: 8.00 of 16.00 GiB, 50%" in FINDING.text()
    assert "DOES NOT FIT" in dataclasses.replace(FINDING, memory_limit=4 * GIB).text()


def test_the_page_has_what_is_done_and_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "PAGE", tmp_path / "table.md")
    monkeypatch.setattr(table, "PICTURE", tmp_path / "table.png")
    first, second, *_ = table.cells()
    assert len({cell.file for cell in table.cells()}) == len(table.cells())
    (tmp_path / first.file).write_text(json.dumps(dataclasses.asdict(FINDING)))
    (tmp_path / second.file).write_text(json.dumps({"does_not_fit": "Ran out of memory"}))
    table.write_page(tmp_path)
    page = (tmp_path / "table.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| XL |")]
    assert len(rows) == 2
    assert "2 x 8" in rows[0] and "1.30" in rows[0] and "1.20" in rows[0]
    assert "Ran out of memory" in rows[1]
    assert (tmp_path / "table.png").stat().st_size > 0


def test_a_topology_that_is_not_one_is_refused() -> None:
    with pytest.raises(ValueError, match="is not CHIP:SHAPE"):
        get_topology("v9:4x4")
    with pytest.raises(ValueError, match="is not CHIP:SHAPE"):
        get_topology("v5e")


def test_gpus_of_several_machines_are_joined_by_the_network() -> None:
    devices = tuple(jax.devices("cpu"))
    assert Topology("h100:1x8", CHIPS["h100"], devices).link == CHIPS["h100"].link
    assert Topology("h100:4x8", CHIPS["h100"], devices, machines=4).link == CHIPS["h100"].network < CHIPS["h100"].link
    for name, chip in CHIPS.items():
        assert (chip.network is None) == (name != "h100")


def test_a_step_on_one_device_needs_its_state_and_sends_nothing() -> None:
    config = get_config("xl,tiny")
    config.model.dtype, config.batch_size = "bfloat16", 8
    devices = tuple(jax.devices("cpu")[:1])
    alone = training_step(config, Topology("one", CHIPS["v5e"], devices))
    assert alone.minimum_traffic == 0
    assert alone.mesh == {"data": 1, "fsdp": 1, "tensor": 1, "group": 1}
    parameters = alone.arguments["parameters"]
    assert alone.arguments["average of parameters"] == parameters  # float32 both
    assert alone.arguments["optimiser"] == pytest.approx(2 * parameters, rel=1e-3)
    config.batch_size = 16
    double = training_step(config, Topology("one", CHIPS["v5e"], devices))
    assert double.model_flops == 2 * alone.model_flops > 0


def compile_(root: Path, out: Path, *arguments: str) -> Finding:
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("needs the compiler for TPUs, of the extra tpu")
    command = [sys.executable, "-m", "launch.aot", "--config=configs/sdit.py:xl", f"--json={out}", *arguments]
    environ = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    run = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return Finding(**json.loads(out.read_text()))


@pytest.mark.slow
def test_xl_meets_its_goals_on_a_slice_of_256(root: Path, tmp_path: Path) -> None:
    large = compile_(root, tmp_path / "256.json", "--topology=v5e:16x16", "--config.batch_size=512")
    assert large.memory_share <= 0.75
    assert large.flops_ratio <= 1.38  # everything is computed twice but for the gradient
    assert large.traffic_ratio <= 1.1
    small = compile_(root, tmp_path / "16.json", "--topology=v5e:4x4", "--config.batch_size=512")
    np.testing.assert_allclose(16 * small.flops, 256 * large.flops, rtol=0.02)
