"""Where a user's own files lie that outlive a run: `$XDG_CONFIG_HOME/adiff_jax`, by default in `~/.config`."""

import contextlib
import os
import tempfile
from pathlib import Path


def config_folder() -> Path:
    """The folder, which need not be there yet."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "adiff_jax"


def write_private(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Writes a file, and makes its folder, that their owner alone may read; complete or not at all.

    Args:
        path: the file.
        content: what goes in.
        replace: False leaves a file as it is that is there, or that another process writes at the same time.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # 0o600 from the start
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        if replace:
            os.replace(draft, path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
