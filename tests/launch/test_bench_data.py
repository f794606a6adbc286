"""The benchmark of preparation and loading: its arithmetic and its clocks; what it measures depends on the machine."""

import numpy as np
import pytest

from adiff_jax.data.source import ShardSource
from adiff_jax.models.sdit import SDiTConfig
from configs.sdit import get_config
from launch.bench import data
from launch.bench.data import SPEEDS, Clock, ClockedDetector, compare, forward_flops, megabytes, write_records


def test_cores_and_bytes_follow_from_what_training_takes():
    row = compare((600.0, 400.0), training=20.0, megabytes=0.5)
    assert row.keys() == {metric.name for metric in SPEEDS}
    assert row == {"loader": 600, "a core": 400, "training": 20, "over training": 30, "cores": 0.05, "read": 10}


def test_operations_are_those_of_the_configs_table():
    config = get_config("small128")
    assert 3 * forward_flops(SDiTConfig(**config.model)) == pytest.approx(4.2e9, rel=0.02)


def test_a_clock_adds_up_what_is_inside_alone(monkeypatch: pytest.MonkeyPatch):
    now = iter([1.0, 3.0, 10.0, 10.5])
    monkeypatch.setattr(data.time, "perf_counter", lambda: next(now))
    clock = Clock()
    timed = clock.around(lambda value: value + 1)
    assert [timed(1), timed(value=2)] == [2, 3]
    assert clock.seconds == 2.5


def test_records_of_noise_have_the_shapes_that_the_config_trains_on(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data, "CLIPS", 1)
    config = get_config("small128,tiny")
    config.data.clip_frames = 4
    config.data.size = 64
    write_records(tmp_path, config)
    source = ShardSource(tmp_path)
    side, channels = config.model.input_size, 2 * config.model.in_channels
    assert source[0].moments.shape == (4, side, side, channels)
    assert source[0].clip_image.shape == (4, config.model.clip_dim)
    assert megabytes(source) * 1e6 == sum(path.stat().st_size for path in tmp_path.glob("*.arrayrecord"))


def test_a_clocked_detector_finds_the_same(tmp_path, shared):
    clock = Clock()
    picture = np.zeros((64, 64, 3), np.uint8)
    with ClockedDetector(clock).scanner() as scan:
        opened = clock.seconds
        assert len(scan(picture)) == 0
    assert 0 < opened < clock.seconds
