"""The same bytes from a Ray cluster as from this process, also when it loses a process and a whole node."""

import os
import pickle
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from grey import OPTIONS, DyingDetector, MeshDetector, encoders, snapshot, write_videos

from adiff_jax.media.landmarks import FaceLandmarks
from adiff_jax.prep.cluster import _Make
from adiff_jax.prep.engine import prepare
from adiff_jax.prep.inputs import Input, synthetic_inputs
from adiff_jax.prep.options import RayOptions
from adiff_jax.prep.parts import attempt, crashed

ACTOR, NODE = 60, 100  # levels of grey: what befalls who works on such a video

ENVIRONMENT = {
    "RAY_worker_niceness": "0",  # 15 by default: on a busy machine its processes would not get as far as their work
    "RAY_AUTH_MODE": "disabled",  # no token in the home folder
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "1000",  # a lost node is noticed in seconds
    "RAY_health_check_period_ms": "500",
}


class FatalDetector(MeshDetector):
    """Kills the actor that it works for at a video of one grey, and that actor's node at one of another; once each.

    What was done is told by files in `folder`.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def video(self, frames, face=None) -> FaceLandmarks:
        frames = list(frames)
        actor = os.getppid()
        for grey, victim in ((ACTOR, actor), (NODE, _parent(actor))):
            killed = self._folder / str(grey)
            if abs(frames[0].image.mean() - grey) < 4 and not killed.exists():
                killed.write_text(Path(f"/proc/{victim}/comm").read_text())
                os.kill(victim, signal.SIGKILL)
                time.sleep(60)  # processes of a lost actor or node end by themselves
        return super().video(iter(frames), face)


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def nodes(root, monkeypatch) -> Iterator:
    """A head, which works at nothing, and two workers, which find the modules of the tests."""
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    pytest.importorskip("ray.data", reason="the extra `ray` is not installed")
    from ray.cluster_utils import Cluster

    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    nodes = Cluster()
    try:
        # Ray takes 127.0.0.1 for another address of this machine; each node needs one of its own.
        nodes.add_node(node_ip_address="127.0.0.2", num_cpus=0, include_dashboard=False)
        for address in ("127.0.0.3", "127.0.0.4"):
            nodes.add_node(node_ip_address=address, num_cpus=3, object_store_memory=100_000_000)
        ray.init(address=nodes.address, log_to_driver=False, _node_ip_address="127.0.0.2")
        yield ray.nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def test_an_input_that_kills_its_process_is_given_up():
    sound = synthetic_inputs("synthetic:1:40", OPTIONS)[0]
    deadly = Input("deadly", "", partial(os._exit, 1))
    row = _Make()({"index": 3, "inputs": pickle.dumps([deadly, sound])})
    attempts = pickle.loads(row["attempts"])
    assert row["index"] == 3
    assert attempts == [crashed(deadly), attempt(sound)]


@pytest.mark.slow
def test_a_lost_process_and_a_lost_node_lose_nothing_and_double_nothing(nodes, tmp_path):
    videos = write_videos(tmp_path / "videos", 8)
    here = prepare(videos, tmp_path / "here", OPTIONS, detector=MeshDetector(), encoders=encoders())
    (killed := tmp_path / "killed").mkdir()
    there = prepare(
        videos,
        tmp_path / "there",
        OPTIONS,
        detector=FatalDetector(killed),
        encoders=encoders(),
        engine="ray",
        ray=RayOptions(actors=2),
    )
    assert (killed / str(NODE)).read_text() == "raylet\n"
    assert (killed / str(ACTOR)).read_text().startswith("ray::")
    assert sum(node["Alive"] for node in nodes()) == 2
    assert there == here
    assert snapshot(tmp_path / "there") == snapshot(tmp_path / "here")


@pytest.mark.slow
def test_an_input_that_kills_every_process_is_given_up_and_tried_again_by_the_next_run(nodes, tmp_path):
    videos = write_videos(tmp_path / "videos", 4)
    prepare(videos, tmp_path / "here", OPTIONS, detector=MeshDetector())
    (tmp_path / "deaths").mkdir()

    def there(detector: MeshDetector):
        return prepare(videos, tmp_path / "there", OPTIONS, detector=detector, engine="ray", ray=RayOptions(actors=1))

    deadly = DyingDetector(tmp_path / "deaths", grey=70)
    report = there(deadly)
    assert report.reasons == {"crash": 1}
    assert there(deadly) == report
    there(MeshDetector())
    assert snapshot(tmp_path / "there") == snapshot(tmp_path / "here")
