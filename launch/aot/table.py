"""The page of all sizes on all topologies: `launch/aot/table.md` and its picture. What is on disk is not redone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from launch.aot.report import ATTAINED, Finding
from launch.aot.topologies import CHIPS, GIB

TOPOLOGIES = ("v5e:4x4", "v5e:16x16", "v4:2x2x4", "v5p:2x2x4", "v6e:4x4", "h100:1x8")
SIZES = ("xl", "l", "b", "s")
BATCH, STEPS = 512, 200_000  # as many sequences as the 400,000 steps of 256 of the config
TIMEOUT = 1_800  # seconds of one compilation
PAGE, PICTURE = Path(__file__).with_name("table.md"), Path(__file__).with_name("table.png")

TRAINING = ("", "topology", "mesh", "memory", "FLOPs", "collectives", "step", "limit", "run", "cost", "compiled in")
SAMPLING = ("", "topology", "program", "memory", "FLOPs", "collectives", "video", "limit")
INTRODUCTION = f"""\
# What training needs, by the compilers

Made by `python -m launch.aot --table`: the real training step of `adiff_jax.train`, compiled for hardware that was not
there. Batches of {BATCH} sequences of 4 frames of 256 tokens, bfloat16, blocks recomputed in the backward pass (but for
*no remat*), records that hold latents. Nothing here was timed on an accelerator.

"""
DEFINITIONS = f"""

![Memory and time of a step](table.png)

- **mesh**: data x fsdp, as `runtime.sharding.pick_mesh` chooses.
- **memory**: bytes of a device, over what a program may use of it: state, batch, temporaries and the program itself.
- **FLOPs**: of a device's matrix products and attention kernels as compiled, loops counted as often as they turn, and
  their ratio to three times the forward pass. Recomputing everything is 4 / 3; splash and cuDNN compute the products
  of queries and keys once more.
- **collectives**: bytes that a device sends, and their ratio to the least for that mesh: every kernel gathered once a
  pass in bfloat16, its gradient reduced and scattered, and summed over the axis data.
- **step**: the largest of matrix units, memory and links (**limit**), at {ATTAINED:.0%} of the makers' peak rates, the
  others hidden behind it. That share is an assumption, not a measurement.
- **run**, **cost**: {BATCH * STEPS / 1e6:.1f} million sequences, as many as the config's 400,000 steps of 256, at that
  step, and at prices that are an assumption too, in USD an hour and chip:
  {{prices}}.
- **compiled in**: wall time on two busy CPU cores with XLA's optimization effort at -1; `--full` takes three times as
  long for about the same memory and FLOPs, but keeps more on the chip and so reads memory less often.

"""
SAMPLER = """## Anchored sampling

One video with the paper's plan, one group on every device, the weights on each of them. FLOPs, collectives and time are
those of the whole video.

"""


class Cell(NamedTuple):
    """One compilation of the table.

    Attributes:
        label: its row.
        topology: see `get_topology`.
        arguments: of `python -m launch.aot`.
    """

    label: str
    topology: str
    arguments: tuple[str, ...]

    @property
    def file(self) -> str:
        """Where its figures are."""
        program = "sampler" if "--sampler" in self.arguments else "step"
        return f"{self.label}-{self.topology}-{program}".replace(" ", "_").replace(":", "-").replace(",", "") + ".json"


def cells() -> list[Cell]:
    """All compilations, the largest model first."""
    found = []
    for size in SIZES:
        options = (f"--config=configs/sdit.py:{size}", f"--config.batch_size={BATCH}", f"--config.steps={STEPS}")
        found += [Cell(size.upper(), topology, options) for topology in TOPOLOGIES]
        if size == "xl":
            found.append(Cell("XL, no remat", "v5e:16x16", (*options, "--config.model.remat=False")))
            found.append(Cell("XL", "v5e:4x4", (options[0], "--sampler")))
    return found


def make_table(folder: Path) -> None:
    """Compiles what is missing in `folder`, each in a process of its own, and writes the page."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [cell for cell in cells() if not (folder / cell.file).exists()]
    for cell in tqdm(missing, unit=" programs"):
        command = [sys.executable, "-m", "launch.aot", *cell.arguments]
        command += [f"--topology={cell.topology}", f"--json={folder / cell.file}"]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=os.environ, check=False)
        except subprocess.TimeoutExpired:
            tqdm.write(f"{cell.label} on {cell.topology}: not compiled within {TIMEOUT} s")
            continue
        if not (folder / cell.file).exists():
            last = (run.stderr.strip().splitlines() or ["no message"])[-1]
            tqdm.write(f"{cell.label} on {cell.topology}: {last}")
        write_page(folder)
    write_page(folder)


def write_page(folder: Path) -> None:
    """The page of what is in `folder`."""
    found, failed = {}, {}
    for cell in cells():
        if (folder / cell.file).exists():
            content = json.loads((folder / cell.file).read_text())
            if "does_not_fit" in content:
                failed[cell] = content["does_not_fit"]
            else:
                found[cell] = Finding(**content)
    draft = PAGE.with_suffix(".part")
    draft.write_text(page(found, failed))
    draft.rename(PAGE)
    if found:
        draw(found, PICTURE)


def page(found: dict[Cell, Finding], failed: dict[Cell, str]) -> str:
    """Markdown."""
    training = {cell: finding for cell, finding in found.items() if finding.runs > 1}
    sampling = {cell: finding for cell, finding in found.items() if finding.runs == 1}
    prices = ", ".join(f"{chip.name} {chip.price:.2f}" for chip in CHIPS.values())
    table = [_row(TRAINING), _row(["---"] * len(TRAINING))]
    table += [_row(_training_cells(cell, finding)) for cell, finding in training.items()]
    table += [_row([cell.label, cell.topology, "", why, *[""] * (len(TRAINING) - 4)]) for cell, why in failed.items()]
    text = INTRODUCTION + "\n".join(table) + DEFINITIONS.format(prices=prices)
    if sampling:
        table = [_row(SAMPLING), _row(["---"] * len(SAMPLING))]
        table += [_row(_sampling_cells(cell, finding)) for cell, finding in sampling.items()]
        text += SAMPLER + "\n".join(table) + "\n"
    return text


def draw(found: dict[Cell, Finding], path: Path) -> None:
    """Memory by kind, and the three terms of the time, for every compilation."""
    from matplotlib.figure import Figure  # a second to import

    findings = [finding for finding in found.values() if finding.runs > 1]
    labels = [f"{cell.label}\n{cell.topology}" for cell, finding in found.items() if finding.runs > 1]
    figure = Figure(figsize=(max(7, 0.55 * len(labels)), 6.5), layout="constrained")
    memory, seconds = figure.subplots(2, 1, sharex=True)
    bottom = [0.0] * len(findings)
    for kind in ("parameters", "optimiser", "average of parameters", "temporary"):
        shares = [100 * finding.memory[kind] / finding.memory_limit for finding in findings]
        memory.bar(labels, shares, 0.6, bottom, label=kind)
        bottom = [low + share for low, share in zip(bottom, shares)]
    memory.set(ylim=(0, 100), ylabel="% of a device's memory")
    for shift, term in enumerate(("matrix units", "memory", "links")):
        places = [place + 0.25 * (shift - 1) for place in range(len(findings))]
        seconds.bar(places, [1e3 * finding.seconds[term] for finding in findings], 0.25, label=term)
    seconds.set_yscale("log")
    seconds.set_ylabel("ms a step at peak rates")
    seconds.tick_params(axis="x", labelrotation=90, labelsize="small")
    for axis in (memory, seconds):
        axis.legend(frameon=False, fontsize="small", ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def _training_cells(cell: Cell, finding: Finding) -> list[str]:
    return [
        cell.label,
        cell.topology,
        f"{finding.mesh['data']} x {finding.mesh['fsdp']}",
        f"{sum(finding.memory.values()) / GIB:.1f} of {finding.memory_limit / GIB:.1f} GiB, {finding.memory_share:.0%}",
        f"{finding.flops / 1e12:.2f} T, {finding.flops_ratio:.2f}",
        f"{sum(finding.collectives.values()) / 1e9:.2f} GB, {finding.traffic_ratio:.2f}",
        f"{1e3 * finding.expected_seconds:.0f} ms",
        finding.limit,
        f"{finding.days:.1f} days",
        f"{finding.cost:,.0f} USD",
        f"{finding.compile_seconds:.0f} s",
    ]


def _sampling_cells(cell: Cell, finding: Finding) -> list[str]:
    return [
        cell.label,
        cell.topology,
        finding.program,
        f"{finding.memory_share:.0%}",
        f"{finding.flops / 1e12:.2f} T, {finding.flops_ratio:.2f}",
        f"{sum(finding.collectives.values()) / 1e6:.1f} MB, {finding.traffic_ratio:.2f}",
        f"{finding.expected_seconds:.2f} s",
        finding.limit,
    ]


def _row(values: list[str]) -> str:
    return f"| {' | '.join(values)} |"
