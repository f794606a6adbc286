"""Reads an upload once as the pipeline will, in a process with little memory and time, before anything else does.

A file can be crafted to make its decoder take all memory, or hang, or crash. Then that happens here.
"""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

from adiff_jax.media.errors import MediaError
from adiff_jax.media.limits import Limits
from adiff_jax.media.pictures import read_picture
from adiff_jax.media.video import read_video

Kind = Literal["picture", "video"]

MEMORY = 3 * 10**9  # bytes of address space, most of which libraries reserve and never touch
SECONDS = 60  # of processor time
PATIENCE = 120  # seconds on the clock


@dataclasses.dataclass(frozen=True)
class Inspected:
    """What an upload turned out to be.

    Attributes:
        width, height: in pixels.
        frames: how many; of a picture 1.
    """

    width: int
    height: int
    frames: int


def rehearse(path: str | os.PathLike, kind: Kind, limits: Limits) -> Inspected:
    """Reads an upload in a limited process.

    Args:
        path: the file.
        kind: what it has to be.
        limits: of size and length.

    Raises:
        MediaError: it is something else, is damaged, or exceeds a limit; the message names the file without its folder.
    """
    name = Path(path).name
    environ = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    call = [sys.executable, "-m", __spec__.name, kind, os.path.abspath(path), json.dumps(dataclasses.asdict(limits))]
    try:
        result = subprocess.run(call, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise MediaError(f"{name}: reading it takes too long; use a shorter or smaller {kind}") from error
    try:
        answer = json.loads(result.stdout)
    except ValueError as error:
        raise MediaError(f"{name}: this {kind} cannot be read with the memory and time that one is given") from error
    if "error" in answer:
        raise MediaError(answer["error"].replace(os.path.abspath(path), name))
    return Inspected(**answer)


def inspect(path: Path, kind: Kind, limits: Limits) -> Inspected:
    """Reads an upload in this process, all frames of it.

    Raises:
        MediaError: see `rehearse`.
    """
    if kind == "picture":
        height, width = read_picture(path, limits).shape[:2]
        return Inspected(width, height, 1)
    with read_video(path, limits) as video:
        return Inspected(video.width, video.height, sum(1 for _ in video))


def _main(kind: Kind, path: str, limits: str) -> None:
    import resource

    for what, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    try:
        answer = dataclasses.asdict(inspect(Path(path), kind, Limits(**json.loads(limits))))
    except MediaError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": f"{path}: this {kind} asks for more memory than one is given"}
    print(json.dumps(answer))


if __name__ == "__main__":
    _main(*sys.argv[1:])
