"""The tasks, by the names that configs use."""

from pathlib import Path

import ml_collections

from adiff_jax.data.source import ClipSource
from adiff_jax.train.task import Task
from adiff_jax.train.tasks.autoencoder import AutoencoderTask
from adiff_jax.train.tasks.clip import CLIPTask
from adiff_jax.train.tasks.identity import IdentityTask
from adiff_jax.train.tasks.sdit import SDiTTask

TASKS = {"autoencoder": AutoencoderTask, "clip": CLIPTask, "identity": IdentityTask, "sdit": SDiTTask}


def make_task(config: ml_collections.ConfigDict, source: ClipSource, workdir: Path) -> Task:
    """The task that `config.task` names, with its model, loss and data options.

    Args:
        config: of the run.
        source: the training clips.
        workdir: the run directory, for what a task learns before training (a tokenizer).

    Raises:
        ValueError: if there is no such task, or its parts do not fit each other.
    """
    if config.task not in TASKS:
        raise ValueError(f"task {config.task!r} is none of {', '.join(TASKS)}")
    return TASKS[config.task].create(config, source, workdir)
