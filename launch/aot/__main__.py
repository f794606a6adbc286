"""`python -m launch.aot`: compiles the real program for hardware that is not here, and says what it needs.

    python -m launch.aot --config configs/sdit.py:xl --topology v5e:16x16 --config.batch_size=512
    python -m launch.aot --config configs/sdit.py:xl --topology v5e:4x4 --sampler
    python -m launch.aot --table    # S, B, L, XL on all topologies, as launch/aot/table.md; resumes where it stopped

Needs the extra `tpu` for TPUs and `cuda` for GPUs, on any Linux machine.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from launch.aot.topologies import get_topology, prepare_environment

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config, with its argument: configs/sdit.py:xl.")
_TOPOLOGY = flags.DEFINE_string("topology", "v5e:16x16", "CHIP:SHAPE, such as v5e:16x16, v4:2x2x4, h100:1x8.")
_SAMPLER = flags.DEFINE_bool("sampler", False, "The anchored sampler instead of the training step.")
_STEPS = flags.DEFINE_integer("steps", 50, "Denoising steps of the sampler.", lower_bound=1)
_FULL = flags.DEFINE_bool("full", False, "Optimise as for running; takes three times as long.")
_JSON = flags.DEFINE_string("json", None, "File to write the figures to.")
_TABLE = flags.DEFINE_bool("table", False, "All sizes on all topologies, into launch/aot/table.md.")
_OUT = flags.DEFINE_string("out", "outputs/aot", "Folder for the figures of the table; what is there is not redone.")


def main(argv: Sequence[str]) -> int:
    """Compiles and prints; returns 2 after a one-line error."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    logging.set_verbosity(logging.WARNING)
    prepare_environment()
    try:
        if _TABLE.value:
            from launch.aot.table import make_table

            make_table(Path(_OUT.value))
            return 0
        if _CONFIG.value is None:
            raise ValueError("give a config, such as --config configs/sdit.py:xl, or --table")
        return compile_one()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def compile_one() -> int:
    """One program on one topology; 1 if it does not fit."""
    import jax

    from launch.aot.programs import sampler, training_step
    from launch.aot.report import examine

    config, topology = _CONFIG.value, get_topology(_TOPOLOGY.value)
    overrides = [word.removeprefix("--config.") for word in sys.argv if word.startswith("--config.")]
    name = " ".join([flags.FLAGS["config"].config_filename or "", *overrides])
    workload = sampler(config, topology, _STEPS.value) if _SAMPLER.value else training_step(config, topology)
    try:
        finding = examine(workload, topology, name, _FULL.value)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = str(error).split("RESOURCE_EXHAUSTED: ")[-1].splitlines()[0]
        write(_JSON.value, {"topology": topology.name, "config": name, "does_not_fit": reason})
        print(f"DOES NOT FIT {topology.name}: {reason}")
        return 1
    write(_JSON.value, dataclasses.asdict(finding))
    print(finding.text())
    return 0 if finding.memory_share <= 1 else 1


def write(path: str | None, content: dict) -> None:
    """Writes figures as JSON, whole or not at all."""
    if path is None:
        return
    draft = Path(f"{path}.part")
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text(json.dumps(content, indent=2) + "\n")
    draft.rename(path)


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())  # configs import configs.common
    app.run(main)
