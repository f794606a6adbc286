"""The beginning of a run on several hosts, with hosts that are only pretended."""

import json
from pathlib import Path

import ml_collections
import pytest
from toy import toy_config

from adiff_jax.data.source import SyntheticSource
from adiff_jax.runtime import distributed
from adiff_jax.runtime.distributed import DisagreementError
from adiff_jax.train import start
from adiff_jax.train.start import code_digest, data_digest, open_checkpoints, open_data


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What a second host says instead of what this one does; it says the same of everything else."""
    differs = {}

    def gather(facts: dict[str, str]) -> list[dict[str, str]]:
        return [facts, facts | {name: value for name, value in differs.items() if name in facts}]

    monkeypatch.setattr(distributed, "gather", gather)
    monkeypatch.setattr(start, "gather", gather)
    return differs


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("config.optimizer.learning_rate", "0.2"),
        ("code", "0 (abc)"),
        ("jax", "0.1"),
        ("data", "x"),
        ("devices", "4 TPU"),
    ],
)
def test_hosts_that_differ_are_told_in_what(second: dict, fact: str, value: str) -> None:
    assert len(open_data(toy_config())) == 6
    second[fact] = value
    with pytest.raises(DisagreementError, match=f"{fact} is .* on host 0, ") as raised:
        open_data(toy_config())
    assert f"{value} on host 1: start all of them with the same" in str(raised.value)


def test_a_problem_of_one_host_is_known_to_all(second: dict) -> None:
    second["problem"] = "no manifest.json in /data"
    with pytest.raises(ValueError, match=r"^host 1: no manifest\.json in /data$"):
        open_data(toy_config())
    config = toy_config()
    config.data.source = "nowhere"
    with pytest.raises(ValueError, match="in nowhere"):
        open_data(config)


def test_every_option_is_compared() -> None:
    config = ml_collections.ConfigDict({"a": 1, "b": {"c": "x", "d": {"e": None}}})
    options = start._options(json.loads(config.to_json()), "config.")
    assert options == {"config.a": "1", "config.b.c": '"x"', "config.b.d.e": "null"}


def test_digests() -> None:
    assert len(code_digest()) == len(data_digest(SyntheticSource(4))) == 64
    assert data_digest(SyntheticSource(4)) == data_digest(SyntheticSource(4)) != data_digest(SyntheticSource(4, seed=1))


def test_a_checkpoint_directory_that_another_host_does_not_see(
    tmp_path: Path, second: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start.jax, "process_count", lambda: 2)
    monkeypatch.setattr(start, "wait_for_all", lambda name: None)
    second["checkpoint.directory"] = "not there"
    with pytest.raises(DisagreementError, match="must be on storage that all hosts share"):
        open_checkpoints(toy_config(), tmp_path)
