"""`adiff COMMAND`: parses the command line, runs the command, and turns errors into one line and exit code 2."""

import logging
import os
import sys
from collections.abc import Sequence

import tyro

from adiff_jax import __version__
from adiff_jax.app.commands import AnyCommand

DESCRIPTION = (
    "Anchored Diffusion for video face reenactment: videos of any length that stay the same person. "
    "adiff --version prints the version."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the arguments; None takes those of the process, and stderr for messages of Python alone.

    Returns:
        The exit code: what the command gives, or 0; 2 when an input cannot be used (said in one line on stderr), 130
        when interrupted.
    """
    if argv is None:
        argv = sys.argv[1:]
        if "--debug" not in argv and argv[:1] != ["train"]:
            silence_native_code()
    if argv[:1] == ["--version"]:
        print(f"adiff {__version__}")
        return 0
    if argv[:1] == ["train"]:  # options of training are those of its config, parsed by absl
        from adiff_jax.train.main import run

        run(["adiff train", *argv[1:]])
    command = tyro.cli(
        AnyCommand,
        prog="adiff",
        description=DESCRIPTION,
        args=argv,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )
    logging.basicConfig(format="adiff: %(message)s")
    logging.getLogger("adiff_jax").setLevel(logging.INFO)
    try:
        code = command.run()
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError) as error:
        if command.debug:
            raise
        print(f"adiff: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return code or 0


def silence_native_code() -> None:
    """Keeps stderr for Python: MediaPipe's C++ writes a dozen lines there about itself, and no setting stops it."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
