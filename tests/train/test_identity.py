"""The identity task: its loss is small when twins are alike, and it exports a component."""

from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from adiff_jax.data.loader import make_loader
from adiff_jax.data.source import open_source
from adiff_jax.models.identity import IdentityConfig, IdentityNetwork
from adiff_jax.train.tasks import make_task
from adiff_jax.weights.bundle import load_component
from configs import identity

SOURCE = open_source("synthetic:4", num_frames=4, size=32)
KEY = jax.random.key(0)


def embeddings_instead_of_chips(monkeypatch) -> None:
    """Lets a batch hold the embeddings that the network would give."""
    monkeypatch.setattr(IdentityNetwork, "apply", lambda self, variables, chips: chips)


def test_loss_of_twins_and_of_strangers(tmp_path: Path, monkeypatch) -> None:
    task = make_task(identity.get_config("tiny"), SOURCE, tmp_path)
    embeddings_instead_of_chips(monkeypatch)
    twins = jnp.repeat(jnp.eye(3)[:, None], 2, axis=1)
    loss, metrics = task.loss({}, {"pair": twins}, KEY)
    np.testing.assert_allclose(loss, np.log1p(2 * np.exp(-1 / task.temperature)), atol=1e-6)  # of logits of 10
    assert metrics["accuracy"] == 1
    strangers = twins.at[:, 1].set(jnp.roll(jnp.eye(3), 1, axis=0))
    loss, metrics = task.loss({}, {"pair": strangers}, KEY)
    assert loss > 1 / task.temperature - 1e-3
    assert metrics["accuracy"] == 0


def test_preview_shows_the_nearest(tmp_path: Path, monkeypatch) -> None:
    task = make_task(identity.get_config("tiny"), SOURCE, tmp_path)
    monkeypatch.setattr(type(task), "_cosines", lambda self, params, batch: jnp.eye(2)[::-1])
    pair = jnp.stack([jnp.full((2, 2, 4, 4, 3), -1.0), jnp.full((2, 2, 4, 4, 3), 1.0)])[:, 0]
    pictures = task.preview({}, {"pair": pair}, KEY).pictures
    assert pictures.shape == (2, 2, 4, 4, 3)
    np.testing.assert_array_equal(pictures[0, :, 0, 0, 0], [0, 255])
    np.testing.assert_array_equal(pictures[1, :, 0, 0, 0], [255, 0])


def test_exports_what_it_trained(tmp_path: Path) -> None:
    task = make_task(identity.get_config("tiny"), SOURCE, tmp_path)
    with closing(make_loader(SOURCE, task.transforms(), batch_size=2, seed=0)) as batches:
        batch = next(batches)
    assert batch["pair"].shape == (2, 2, 16, 16, 3)
    params = jax.jit(lambda key: task.init(key, batch))(KEY)
    task.export(tmp_path, params, [])
    config, loaded = load_component(tmp_path / "identity", IdentityConfig)
    chips = jnp.asarray(batch["pair"][:, 0])
    ours, theirs = (IdentityNetwork(config).apply({"params": tree}, chips) for tree in (params, loaded))
    np.testing.assert_allclose(ours, theirs, atol=5e-3)  # stored in float16
