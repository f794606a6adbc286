"""The command line of training: `python -m adiff_jax.train`, and `adiff train`, which hands its arguments to `run`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from adiff_jax.runtime import distributed
from adiff_jax.train.health import TrainingError
from adiff_jax.train.loop import train

STOPPED = os.EX_TEMPFAIL  # saved, to be run again

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config, with its argument: configs/autoencoder.py:small128.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run directory: made if it is not there, continued if it is.")
_DATA = flags.DEFINE_string("data", None, "Folder of records or synthetic:N[:SEED]; the same as --config.data.source.")


def main(argv: Sequence[str]) -> int:
    """Trains; returns 0 when finished, 75 (EX_TEMPFAIL) when stopped and saved, 2 after a one-line error."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    logging.set_verbosity(logging.WARNING)  # libraries; the loop prints its own lines
    config = _CONFIG.value
    if _DATA.value is not None:
        config.data.source = _DATA.value
    config.lock()
    try:
        if "://" in _WORKDIR.value:
            raise ValueError(
                f"--workdir {_WORKDIR.value} is an address: mount the bucket and give the folder; "
                "checkpoints may go to an address, --config.checkpoint.directory=gs://BUCKET/RUN"
            )
        distributed.start()
        return 0 if train(config, Path(_WORKDIR.value)) else STOPPED
    except (ValueError, TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(argv: Sequence[str] | None = None) -> None:
    """Parses the flags, trains, and exits.

    Args:
        argv: program name and arguments; `sys.argv` by default.
    """
    flags.mark_flags_as_required(["config", "workdir"])
    sys.path.insert(0, os.getcwd())  # configs import configs.common
    app.run(main, argv=argv)
