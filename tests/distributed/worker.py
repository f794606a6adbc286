"""One process of trainings that several take part in: `worker.py JOBS`, a JSON list of directories and options."""

import dataclasses
import json
import sys
from pathlib import Path

import jax.numpy as jnp
import ml_collections

from adiff_jax.models.sdit import SDiTConfig
from adiff_jax.runtime import distributed
from adiff_jax.train.loop import train
from adiff_jax.train.task import Preview
from adiff_jax.train.tasks.sdit import SDiTTask
from configs import sdit

# Every axis of a mesh of eight divides it: width, heads and hidden units.
MODEL = SDiTConfig(in_channels=4, input_size=4, num_frames=3, depth=2, width=32, num_heads=4, clip_dim=8)


def config_of(options: dict) -> ml_collections.ConfigDict:
    config = sdit.get_config("small128,tiny")
    config.model = ml_collections.ConfigDict(dataclasses.asdict(MODEL))
    config.data.encoded = True
    config.batch_size = 8
    config.log_every = 1
    config.checkpoint.every = config.preview_every = 1_000
    config.optimizer.schedule = "constant"
    config.update_from_flattened_dict(options)
    return config


def main(jobs: list[dict]) -> None:
    distributed.start()
    # Previews take longer to compile than all the rest.
    SDiTTask.preview = lambda self, params, batch, key: Preview(jnp.zeros((1, 1, 8, 8, 3), jnp.uint8))
    for job in jobs:
        assert train(config_of(job["options"]), Path(job["workdir"]))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
