"""A task that compiles in an instant, to test the loop with."""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import flax.struct
import jax
import jax.numpy as jnp
import ml_collections

from adiff_jax.data.transforms import autoencoder_transforms
from adiff_jax.train.task import Preview
from adiff_jax.train.tasks.pictures import as_bytes
from adiff_jax.weights.tensors import save_tensors
from configs.common import base_config


@flax.struct.dataclass
class ToyTask:
    """Fits a gain a colour so that the mean colour is 1, with noise on the gain."""

    poison: float = flax.struct.field(pytree_node=False, default=0.0)
    separable: ClassVar[bool] = True

    @classmethod
    def create(cls, config, source, workdir):
        return cls(poison=config.model.poison)

    def transforms(self, preview=False):
        return autoencoder_transforms()

    def init(self, key, batch):
        return {"gain": jax.random.normal(key, (1, 3))}

    def loss(self, params, batch, keys):
        noise = 0.1 * jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys)
        colour = batch["image"].mean((1, 2)) * (params["gain"] + noise)
        loss = jnp.mean(jnp.square(colour - 1)) / (1 - self.poison)
        return loss, {"colour": colour.mean()}

    def preview(self, params, batch, key):
        return Preview(as_bytes(jnp.stack([batch["image"], batch["image"] * params["gain"]])), fps=25.0)

    def export(self, folder: Path, params, batches: Iterable) -> None:
        (folder / "toy").mkdir(parents=True, exist_ok=True)
        save_tensors(folder / "toy" / "model.safetensors", params)


def toy_config(steps: int = 6) -> ml_collections.ConfigDict:
    config = base_config("toy", ToyTask())
    config.batch_size = 2
    config.steps = steps
    config.data.source = "synthetic:6"
    config.data.clip_frames = 2
    config.data.size = 16
    config.optimizer.learning_rate = 0.1
    config.optimizer.warmup_steps = 2
    config.checkpoint.every = 2
    config.log_every = 2
    config.preview_every = 4
    return config
