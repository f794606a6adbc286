"""The command line of training: `python -m adiff_jax.train`, and `adiff train`, which hands its arguments to `run`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from adiff_jax.runtime import distributed
from adiff_jax.train import BUSY, STOPPED
from adiff_jax.train.health import TrainingError
from adiff_jax.train.loop import train
from adiff_jax.train.start import BusyError

USAGE = """usage: adiff train --config FILE[:ARGUMENT] --workdir FOLDER [--data SOURCE] [--config.OPTION=VALUE ...]

Trains a model from a config, whose options --config.OPTION=VALUE changes: --config.steps=1000, --config.data.size=64.
The top of the config file says what it is for, and with which ARGUMENT; configs/common.py has what all have in common.
Exit codes: 0 finished, 75 stopped and saved (run it again to go on), 69 another run is at work there, 2 an error.

{flags}

--helpfull lists the flags of libraries too."""

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config, with its argument: configs/autoencoder.py:small128.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run directory: made if it is not there, continued if it is.")
_DATA = flags.DEFINE_string("data", None, "Folder of records or synthetic:N[:SEED]; the same as --config.data.source.")


def main(argv: Sequence[str]) -> int:
    """Trains; returns 0 when finished, 75 (EX_TEMPFAIL) when stopped and saved, 69 or 2 after a one-line error."""
    logging.set_verbosity(logging.WARNING)  # libraries; the loop prints its own lines
    config = _CONFIG.value
    if _DATA.value is not None:
        config.data.source = _DATA.value
    config.lock()
    try:
        if len(argv) > 1:
            raise ValueError(f"unexpected arguments: {' '.join(argv[1:])}")
        if "://" in _WORKDIR.value:
            raise ValueError(
                f"--workdir {_WORKDIR.value} is an address: mount the bucket and give the folder; "
                "checkpoints may go to an address, --config.checkpoint.directory=gs://BUCKET/RUN"
            )
        distributed.start()
        return 0 if train(config, Path(_WORKDIR.value)) else STOPPED
    except BusyError as error:
        _complain(error)
        return BUSY
    except (ValueError, OSError, TrainingError) as error:
        return _complain(error)


def run(argv: Sequence[str] | None = None) -> None:
    """Parses the flags, trains, and exits.

    Args:
        argv: program name and arguments; `sys.argv` by default.
    """
    flags.mark_flags_as_required(["config", "workdir"])
    sys.path.insert(0, os.getcwd())  # configs import configs.common
    app.run(main, argv=argv, flags_parser=_parse)


def _parse(argv: Sequence[str]) -> Sequence[str]:
    """Has absl parse the flags, which loads the config; exits with 2 after a one-line error."""
    if not {"-h", "--help"}.isdisjoint(argv):
        print(USAGE.format(flags=flags.FLAGS.module_help(__name__).partition(":\n")[2]))
        sys.exit(0)
    try:
        rest = flags.FLAGS(argv)
        _CONFIG.value.lock()  # of a file that cannot be read, the first use is the error
        return rest
    except (flags.Error, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[-1]  # after a traceback, or what was tried
        sys.exit(_complain(reason.strip().removeprefix("ValueError: ")))
    except (AttributeError, KeyError) as error:  # of ml_collections, which says the name, perhaps with one that is near
        while isinstance(error, Exception):
            error = error.args[0]
        name, *advice = error.splitlines()
        advice = advice or ["see the top of the config file"]
        sys.exit(_complain(f"the config has no such option: {name.strip(chr(39))} ({' '.join(advice)})"))


def _complain(reason: object) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 2
