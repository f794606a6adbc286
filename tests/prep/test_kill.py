"""Preparation that is killed at random moments and run again gives what an undisturbed run gives, byte for byte."""

import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from grey import OPTIONS, SlowDetector, encoders, snapshot, write_videos

from adiff_jax.data.source import MANIFEST
from adiff_jax.prep.engine import prepare

KILLS = int(os.environ.get("ADIFF_KILLS", "4"))
PAUSE = 0.02  # seconds a video, for which the detector does nothing


def face(frames, landmarks):
    """Every second video shows the same person, so that most shards are written anew after the parts."""
    level = round(float(frames.mean()) / 10)
    return np.tile(np.eye(12, dtype=np.float32)[min(level % 2 * level, 11)], (len(frames), 1))


def make(videos: Path, out: Path) -> None:
    models = dataclasses.replace(encoders(), face=face)
    prepare(videos, out, OPTIONS, detector=SlowDetector(PAUSE), encoders=models)


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    videos = write_videos(tmp_path / "videos", 12)
    # The server has everything imported; the processes that it forks begin with their work.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["adiff_jax.prep.engine"])

    def run(out: Path, after: str = MANIFEST, seconds: float | None = None) -> bool:
        """Whether it finished; so many seconds after a file is there it is killed."""
        process = context.Process(target=make, args=(videos, out))
        process.start()
        while process.is_alive() and not (out / after).exists():
            time.sleep(0.001)
        process.join(seconds)
        with contextlib.closing(process):
            process.kill()
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL)
            return process.exitcode == 0

    assert run(tmp_path / "whole")
    whole = snapshot(tmp_path / "whole")
    moments = {name: (tmp_path / "whole" / name).stat().st_mtime for name in whole}
    order = sorted(moments, key=moments.__getitem__)
    pauses = {one: moments[other] - moments[one] for one, other in itertools.pairwise(order)}

    rng = np.random.default_rng(int.from_bytes(os.urandom(4)))
    killed, stages, out = 0, [], tmp_path / "0"
    while killed < KILLS:
        # Anywhere between two of the files that are still to be written, so that no stage is too short to be met.
        missing = [name for name in pauses if not (out / name).exists()]
        after = str(rng.choice(missing)) if missing else MANIFEST
        if run(out, after, rng.uniform(0, pauses[after]) if missing else None):
            assert snapshot(out) == whole
            out = tmp_path / str(killed)
            continue
        killed += 1
        stages.append(stage(out))
    print(f"{KILLS} kills: {', '.join(stages)}")
    assert run(out)
    assert snapshot(out) == whole


def stage(out: Path) -> str:
    """How far the files of a killed run say that it had come."""
    if (out / MANIFEST).exists():
        return "manifest"
    if shards := len(list(out.glob("records-*"))):
        return f"shard {shards}"
    return f"part {len(list(out.glob('parts/*.json')))}"
