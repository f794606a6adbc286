import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import tyro

from adiff_jax.train import BUSY, STOPPED
from launch.sweep.__main__ import Options
from launch.sweep.places import run_here
from launch.sweep.plan import Run, load_sweep
from launch.sweep.report import draw, make_report, result

SWEEP = """
CONFIG = "configs/autoencoder.py:small128,tiny"
METRIC = "loss"

def sweep(add):
    for rate in (1e-4, 1e-3, 1e-2):
        for size in (2, 4):
            add({"optimizer.learning_rate": rate, "batch_size": size})
"""
# Stands for the training: four steps of which it can be stopped after each, and a loss that follows from the options.
TRAINING = """
import json, os, pathlib, signal, sys, time
options = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
run = pathlib.Path(options["workdir"])
file = run / "metrics.jsonl"
done = len(file.read_text().splitlines()) if file.exists() else 0
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
(run / "started").open("a").write("x")
if options["config.batch_size"] == options.get("fail"):
    sys.exit("error: no such batch")
if options["config.batch_size"] == options.get("killed"):
    os.kill(os.getpid(), signal.SIGKILL)
if options["config.batch_size"] == options.get("busy"):
    sys.exit(69)
for step in range(done + 1, 5):
    loss = float(options["config.optimizer.learning_rate"]) + step / 100
    file.open("a").write(json.dumps({"step": step, "loss": loss, "samples_per_second": 8.0}) + "\\n")
    time.sleep(float(options.get("pause", 0)))
    if stopped:
        sys.exit(75)
"""


@pytest.fixture(autouse=True)
def quick_training(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "training.py").write_text(TRAINING)
    command = Run.command

    def quick(self, config, arguments=()):
        words = command(self, config, arguments)
        assert words[1:3] == ["-m", "adiff_jax.train"]
        return [words[0], str(tmp_path / "training.py"), *words[3:]]

    monkeypatch.setattr(Run, "command", quick)
    monkeypatch.chdir(root)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "rates.py").write_text(SWEEP)
    return tmp_path / "rates.py"


def test_every_set_of_values_is_a_run_with_a_directory_of_its_own(file: Path, tmp_path: Path) -> None:
    sweep = load_sweep(file, tmp_path / "out")
    assert [run.values["batch_size"] for run in sweep.runs] == [2, 4] * 3
    assert len({run.directory for run in sweep.runs}) == 6
    assert sweep.runs[3].name == "learning_rate=0.001,batch_size=4"
    assert f"--workdir={tmp_path}/out/{sweep.runs[3].name}" in sweep.runs[3].command(sweep.config)
    assert "--config.optimizer.learning_rate=0.001" in sweep.runs[3].command(sweep.config)


@pytest.mark.parametrize(
    ("add", "message"),
    [
        ("", "adds no runs"),
        ("add()", "adds no runs"),
        ("add(batch_size=2); add(batch_size=2)", "adds the run batch_size=2 twice"),
        ("add(batch_size=2); add(steps=2)", "sets other options"),
        ("add(batchsize=2)", "batchsize"),
        ("add({'optimizer.rate': 2.0})", "optimizer.rate"),
        ("add(batch_size='two')", "batch_size=two does not fit"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(add: str, message: str, file: Path, tmp_path: Path) -> None:
    file.write_text(
        f"CONFIG = 'configs/autoencoder.py:small128,tiny'\nMETRIC = 'loss'\ndef sweep(add):\n    {add or 'pass'}\n"
    )
    with pytest.raises(ValueError, match=message):
        load_sweep(file, tmp_path)


def test_a_file_without_its_parts_is_refused(file: Path, tmp_path: Path) -> None:
    file.write_text("METRIC = 'loss'\n")
    with pytest.raises(ValueError, match="has no CONFIG and no sweep"):
        load_sweep(file, tmp_path)
    with pytest.raises(ValueError, match="there is no file"):
        load_sweep(tmp_path / "none.py", tmp_path)


def test_all_sweeps_fit_their_configs(root: Path, tmp_path: Path) -> None:
    files = sorted((root / "configs" / "sweeps").glob("*.py"))
    assert len(files) >= 2
    for path in files:
        assert len(load_sweep(path, tmp_path).runs) >= 6


def test_runs_are_done_once(file: Path, tmp_path: Path) -> None:
    sweep = load_sweep(file, tmp_path / "out")
    assert run_here(sweep, sweep.runs[:2], [], jobs=2) == 0
    assert run_here(sweep, sweep.open, [], jobs=3) == 0
    assert not sweep.open
    assert {(run.directory / "started").read_text() for run in sweep.runs} == {"x"}


def test_a_failed_run_is_told_and_not_done_again(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sweep = load_sweep(file, tmp_path / "out")
    assert run_here(sweep, sweep.runs, ["--fail=4"], jobs=3) == 0
    assert [run.exit_code for run in sweep.runs] == [0, 1] * 3
    assert "failed with exit code 1: error: no such batch" in capsys.readouterr().out
    assert "(failed with 1)" in make_report(sweep).markdown()


@pytest.mark.parametrize(("how", "code"), [("killed", 128 + signal.SIGKILL), ("busy", BUSY)])
def test_a_run_that_was_killed_or_is_at_work_elsewhere_stays_open(
    how: str, code: int, file: Path, tmp_path: Path
) -> None:
    sweep = load_sweep(file, tmp_path / "out")
    assert run_here(sweep, sweep.runs[:2], [f"--{how}=4"], jobs=2) == code != STOPPED
    assert [run.exit_code for run in sweep.runs[:2]] == [0, None]
    assert run_here(sweep, sweep.runs[:2], [], jobs=2) == 0


def test_options_of_sbatch_add_up(file: Path, tmp_path: Path) -> None:
    words = [str(file), f"--out={tmp_path}", "--sbatch=--gpus=1", "--sbatch=--cpus-per-task=16"]
    assert tyro.cli(Options, args=words).sbatch == ("--gpus=1", "--cpus-per-task=16")


def test_an_interrupted_sweep_goes_on_where_it_stopped(file: Path, tmp_path: Path, root: Path) -> None:
    out = tmp_path / "out"
    program = f"""
        import sys
        from pathlib import Path
        from launch.sweep.places import run_here
        from launch.sweep.plan import Run, load_sweep
        command = Run.command
        Run.command = lambda self, config, arguments=(): [
            sys.executable, {str(tmp_path / "training.py")!r}, *command(self, config, arguments)[3:]
        ]
        sweep = load_sweep(Path({str(file)!r}), Path({str(out)!r}))
        sys.exit(run_here(sweep, sweep.open, ["--pause=0.5"], jobs=2))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=root, env=dict(os.environ))
    while not (list(out.glob("*/outcome.json")) and len(list(out.glob("*/metrics.jsonl"))) > 2):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == STOPPED
    sweep = load_sweep(file, out)
    finished = {run.name for run in sweep.runs if run.exit_code == 0}
    assert 0 < len(finished) < 6

    assert run_here(sweep, sweep.open, [], jobs=3) == 0
    for run in sweep.runs:
        steps = [json.loads(line)["step"] for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
        assert steps == [1, 2, 3, 4]  # nothing twice, nothing missing
        assert run.name not in finished or (run.directory / "started").read_text() == "x"


def test_the_table_has_the_best_run_first_and_the_plot_is_drawn(file: Path, tmp_path: Path) -> None:
    sweep = load_sweep(file, tmp_path / "out")
    half_written = sweep.runs[5].directory / "metrics.jsonl"
    run_here(sweep, sweep.runs[:5], [], jobs=5)
    half_written.parent.mkdir()
    half_written.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    sweep = load_sweep(file, tmp_path / "out")
    assert result(sweep.runs[0], "loss") == pytest.approx(1e-4 + 0.04)
    report = make_report(sweep)
    assert next(iter(report.rows)).startswith("learning_rate 0.0001")
    assert list(report.rows)[-1] == "learning_rate 0.01, batch_size 4 (open)"
    assert report.setting["runs"] == "5 of 6 finished"
    draw(sweep, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
