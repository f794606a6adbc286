"""The same bytes from a Ray cluster as from this process."""

import os

import pytest
from grey import OPTIONS, MeshDetector, encoders, snapshot, write_videos

from adiff_jax.prep.engine import prepare
from adiff_jax.prep.options import RayOptions


@pytest.mark.slow
def test_a_cluster_gives_the_same_bytes(root, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    pytest.importorskip("ray.data", reason="the extra `ray` is not installed")
    videos = write_videos(tmp_path / "videos", 4)
    prepare(videos, tmp_path / "here", OPTIONS, detector=MeshDetector(), encoders=encoders())
    # Workers must find the modules of the tests.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(root / "tests")]))
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    try:
        where = {"engine": "ray", "ray": RayOptions(actors=1)}
        prepare(videos, tmp_path / "there", OPTIONS, detector=MeshDetector(), encoders=encoders(), **where)
    finally:
        ray.shutdown()
    assert snapshot(tmp_path / "there") == snapshot(tmp_path / "here")
