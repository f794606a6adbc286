"""Every config: built, its step traced at full size, trained for four steps at a tiny size, and without dead keys.

A key that nothing reads is planted, so that finding none would be noticed.
"""

import dataclasses
import importlib
from contextlib import closing
from pathlib import Path

import flax.linen as nn
import jax
import ml_collections
import pytest
from tiny import random_params, tiny_bundle

from adiff_jax.data.loader import make_loader
from adiff_jax.data.source import open_source
from adiff_jax.train.loop import train
from adiff_jax.train.state import make_optimizer, new_state
from adiff_jax.train.step import make_step
from adiff_jax.train.tasks import make_task
from adiff_jax.weights.bundle import save_component
from configs.common import parse_arg

FAMILIES = ("autoencoder", "clip", "identity", "sdit")
VARIANTS = {family: list(importlib.import_module(f"configs.{family}").VARIANTS) for family in FAMILIES}
ALL = [(family, variant) for family in FAMILIES for variant in VARIANTS[family]]
# `tiny` gives the variants of a family one model; one for a CPU and one for accelerators differ in the rest.
TINY = [(family, variant) for family in FAMILIES for variant in VARIANTS[family][:2]]
full_size = pytest.mark.parametrize(("family", "variant"), ALL, ids=lambda word: word)


def get_config(family: str, arg: str) -> ml_collections.ConfigDict:
    return importlib.import_module(f"configs.{family}").get_config(arg)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny frozen models; the autoencoders' latents have 4 and 16 channels, CLIP's embeddings 8, 64 and 768."""
    folder = tmp_path_factory.mktemp("frozen")
    bundle = tiny_bundle(folder)
    for channels in (4, 16):
        config = dataclasses.replace(bundle.autoencoder, latent_channels=channels)
        save_component(folder / f"autoencoder{channels}", config, random_params(config))
    for width in (8, 64, 768):
        config = dataclasses.replace(bundle.clip, projection_dim=width)
        save_component(folder / f"clip{width}", config, random_params(config))
    return folder


def with_frozen(config: ml_collections.ConfigDict, frozen: Path) -> ml_collections.ConfigDict:
    if config.task == "sdit":
        config.autoencoder = str(frozen / f"autoencoder{config.model.in_channels}")
        config.clip = str(frozen / f"clip{config.model.clip_dim}")
    return config


def leaves(config: ml_collections.ConfigDict, prefix: str = "") -> set[str]:
    """Dotted names of all options."""
    names = set()
    for key, value in config.items():
        nested = isinstance(value, ml_collections.ConfigDict)
        names |= leaves(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}"}
    return names


@full_size
def test_the_step_can_be_traced_at_full_size(tmp_path: Path, frozen: Path, family: str, variant: str) -> None:
    config = with_frozen(get_config(family, variant), frozen)
    config.unlock()
    config.tokenizer_clips = 2
    source = open_source("synthetic:2", num_frames=4, size=config.data.size)
    task = make_task(config, source, tmp_path)
    with closing(make_loader(source, task.transforms(), batch_size=1, seed=0)) as batches:
        batch = next(batches)
    optimizer = make_optimizer(config.optimizer, config.steps)
    state = jax.eval_shape(lambda: nn.unbox(new_state(task, optimizer, config.seed, batch)))
    after, metrics = jax.eval_shape(make_step(optimizer, config.ema_decay), task, state, batch)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), after) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), state
    )
    assert metrics["loss"].shape == ()


def unread(config: ml_collections.ConfigDict, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Trains, and returns the options that were never read."""
    options = leaves(config)
    prefixes = {id(config): ""} | {
        id(value): f"{key}." for key, value in config.items() if isinstance(value, ml_collections.ConfigDict)
    }
    read = set()
    getitem = ml_collections.ConfigDict.__getitem__

    def recording_getitem(self: ml_collections.ConfigDict, key: str) -> object:
        read.add(prefixes.get(id(self), "?") + key)
        return getitem(self, key)

    monkeypatch.setattr(ml_collections.ConfigDict, "__getitem__", recording_getitem)
    monkeypatch.setattr(ml_collections.ConfigDict, "to_json", lambda self: "{}")  # writing down is not reading
    assert train(config, workdir)
    return options - read


@pytest.mark.slow
@pytest.mark.parametrize(("family", "variant"), TINY, ids=lambda word: word)
def test_trains_and_reads_every_key(
    tmp_path: Path, frozen: Path, family: str, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_frozen(get_config(family, f"{variant},tiny"), frozen)
    config.data.planted = 1
    dead = unread(config, tmp_path, monkeypatch)
    assert dead == {"data.planted"}, f"of these, the training reads all but what is planted: {sorted(dead)}"
    assert list((tmp_path / "export").iterdir())


@pytest.mark.parametrize(
    ("arg", "parsed"),
    [(None, ("a", False)), ("", ("a", False)), ("b", ("b", False)), ("tiny", ("a", True)), ("b,tiny", ("b", True))],
)
def test_arguments(arg: str | None, parsed: tuple[str, bool]) -> None:
    assert parse_arg(arg, ("a", "b")) == parsed


@pytest.mark.parametrize("arg", ["c", "a,b", "tiny,c", "runlocal"])
def test_unknown_arguments_are_refused(arg: str) -> None:
    with pytest.raises(ValueError, match="is not one of a, b"):
        parse_arg(arg, ("a", "b"))
