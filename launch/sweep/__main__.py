"""`python -m launch.sweep`: does the same training with different options, and compares the results.

    python -m launch.sweep configs/sweeps/tiny.py --out runs/sweeps/tiny
    python -m launch.sweep configs/sweeps/small128.py --out runs/sweeps/small128 -- --data data/latents
    python -m launch.sweep configs/sweeps/small128.py --out /shared/sweep --on slurm --jobs 4 -- --data /shared/latents
    python -m launch.sweep configs/sweeps/small128.py --out /gcs/sweep --on jobset | kubectl apply -f -

What follows `--` goes to every training. Each run has a directory below OUT; `table.md`, `table.json` and `plot.png`
compare them, also while they run. Called again, it does what is not finished yet.
"""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from launch.sweep.places import jobset, run_here, submit_to_slurm
from launch.sweep.plan import Sweep, load_sweep
from launch.sweep.report import draw, make_report


@dataclasses.dataclass(frozen=True)
class Options:
    """Does the runs of a sweep, or submits them.

    Attributes:
        file: that defines the sweep, such as configs/sweeps/tiny.py.
        out: directory for the runs, the table and the plot.
        on: this machine; a Slurm array (submitted); a JobSet (its manifest is printed).
        jobs: runs at a time.
        only: do the run of this number alone; what Slurm and Kubernetes call.
        report: do nothing but the table and the plot.
        sbatch: an option for sbatch, such as --sbatch=--partition=gpu; may be given several times.
    """

    file: Annotated[Path, tyro.conf.Positional]
    out: Path
    on: Literal["here", "slurm", "jobset"] = "here"
    jobs: int = 1
    only: int | None = None
    report: bool = False
    sbatch: tyro.conf.UseAppendAction[tuple[str, ...]] = ()


def main() -> int:
    """Returns 0 if all is done or submitted, 75 if stopped and to be continued, 1 if a run failed, 2 after an error.

    A run that was killed, or that another process is at work on, stays open; see `run_here` for what is returned then.
    """
    words = sys.argv[1:]
    own, arguments = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    options = tyro.cli(Options, args=own, description=__doc__)
    try:
        return act(options, load_sweep(options.file, options.out), arguments)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"error: {error.cmd[0]} failed: {error.stderr.strip()}", file=sys.stderr)
    return 2


def act(options: Options, sweep: Sweep, arguments: list[str]) -> int:
    """Does what the options say with the sweep."""
    if options.jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {options.jobs}")
    if options.only is not None and not 0 <= options.only < len(sweep.runs):
        raise ValueError(f"there is no run {options.only}: {sweep.file} has {len(sweep.runs)}, from 0")
    if options.on == "jobset":
        print(jobset(sweep, options.out, arguments, options.jobs), end="")
        return 0
    if options.on == "slurm" and not options.report and sweep.open:
        print(submit_to_slurm(sweep, options.out, arguments, options.jobs, options.sbatch))
        return 0
    chosen = sweep.runs if options.only is None else [sweep.runs[options.only]]
    code = 0
    if not options.report:
        code = run_here(sweep, [run for run in chosen if run.exit_code is None], arguments, options.jobs)
    if options.only is None:
        write(load_sweep(options.file, options.out), options.out)
    return code or int(any(run.exit_code for run in chosen))


def write(sweep: Sweep, out: Path) -> None:
    """Writes and prints the table, and draws the plot."""
    report = make_report(sweep)
    report.save(out, "table")
    draft = out / ".plot.part.png"
    draw(sweep, draft)
    draft.rename(out / "plot.png")
    print(report.markdown())


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())  # configs import configs.common
    sys.exit(main())
