"""What every training config has in common. Model options are defined by the model's dataclass alone."""

import dataclasses
from collections.abc import Collection
from typing import Any

import ml_collections

TINY = "tiny"


def parse_arg(arg: str | None, variants: Collection[str]) -> tuple[str, bool]:
    """Splits a config's argument, `VARIANT` or `VARIANT,tiny`.

    Example: `parse_arg("small128,tiny", ("small128", "sd")) == ("small128", True)`

    Args:
        arg: what follows the colon of `--config FILE:ARG`; None or empty for the first variant.
        variants: those of the config.

    Returns:
        The variant, and whether everything is to be tiny: a run of seconds that shows that all parts fit.

    Raises:
        ValueError: for any other word.
    """
    words = [word for word in (arg or "").split(",") if word]
    tiny = TINY in words
    chosen = [word for word in words if word != TINY]
    unknown = [word for word in chosen if word not in variants]
    if unknown or len(chosen) > 1:
        raise ValueError(f"config argument {arg!r} is not one of {', '.join(variants)}, optionally with ,{TINY}")
    return (chosen or list(variants))[0], tiny


def base_config(task: str, model: Any) -> ml_collections.ConfigDict:
    """The options that the training loop reads, with common defaults.

    Args:
        task: see `adiff_jax.train.tasks`.
        model: config dataclass of the model.
    """
    config = ml_collections.ConfigDict()
    config.task = task
    config.model = ml_collections.ConfigDict(dataclasses.asdict(model))
    config.seed = 0
    config.batch_size = 32
    config.steps = 10_000
    config.ema_decay = 0.999
    config.accumulate = 1  # parts that a batch is computed in, one after the other, to save memory
    config.max_skipped = 10  # steps in a row without a finite gradient before the run gives up
    config.deterministic = False  # the same bits in every run on the same GPUs, slower; elsewhere that is so anyway

    config.resume = ""  # directory of another run to go on from, with its optimiser and place in the data
    config.init_from = ""  # folder of an exported component whose weights to begin with

    config.data = ml_collections.ConfigDict()
    config.data.source = "synthetic:20000:1000000"  # set by --data; seeds below 1,000,000 are for evaluation
    config.data.clip_frames = 64  # of a synthetic clip
    config.data.size = 128  # pixels of a synthetic clip
    config.data.num_workers = 0  # processes of a host that make batches; 0: threads of the training's own
    config.data.num_threads = 4  # of each process
    config.data.prefetch = 8  # batches made ahead, by each process

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = 1e-4
    config.optimizer.schedule = "constant"
    config.optimizer.warmup_steps = 500
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.999
    config.optimizer.weight_decay = 0.0
    config.optimizer.clip_norm = 1.0

    # Devices along each axis; 0: picked by devices, model and batch; -1: as many as there are.
    config.mesh = ml_collections.ConfigDict({"data": 0, "fsdp": 0, "tensor": 0, "group": 1})
    config.shard_tokens = False  # divide long sequences by tokens over the axis tensor

    config.checkpoint = ml_collections.ConfigDict()
    config.checkpoint.every = 1000  # steps; as log_every and preview_every, 0 for the end alone
    config.checkpoint.directory = ""  # checkpoints/ in the run directory; or gs://BUCKET/RUN
    config.checkpoint.keep = 2  # the newest
    config.checkpoint.keep_every = 0  # besides, those of steps that are a multiple of this; 0 for none
    config.checkpoint.best = 0  # besides, so many of the least metric
    config.checkpoint.metric = "loss"

    config.profile = ml_collections.ConfigDict()
    config.profile.first = 0  # step to begin a profile with; 0: when the process gets SIGUSR1
    config.profile.steps = 5

    config.log_every = 50
    config.preview_every = 1000
    return config


def make_tiny(config: ml_collections.ConfigDict, model: Any) -> None:
    """Makes a run of seconds of `config`, with another size of the same model, in place."""
    config.model = ml_collections.ConfigDict(dataclasses.asdict(model))
    config.batch_size = 2
    config.steps = 4
    config.data.source = "synthetic:8"
    config.data.clip_frames = 8
    config.data.size = 32
    config.optimizer.warmup_steps = 1
    config.checkpoint.every = 2
    config.log_every = 1
    config.preview_every = 4
