"""The configs of the two trainings: those of the package's own models, with what is different for one person."""

import dataclasses
import importlib
import sys
from pathlib import Path

import ml_collections

import adiff_jax
from adiff_jax.app.personal.options import PersonaliseOptions
from adiff_jax.weights.bundle import Bundle

NEVER = 10**9  # steps


def decoder_config(bundle: Bundle, records: Path, options: PersonaliseOptions) -> ml_collections.ConfigDict:
    """The decoder alone, on latents with noise: the sDiT's latents stay what they are."""
    config = _family("autoencoder")
    _fit(config, bundle.autoencoder, records, options)
    config.optimizer.learning_rate = options.decoder_learning_rate
    config.loss.decoder_noise = options.decoder_noise
    return config


def sdit_config(bundle: Bundle, folder: Path, records: Path, options: PersonaliseOptions) -> ml_collections.ConfigDict:
    """The sDiT, on encoded records.

    Args:
        bundle: what is trained further.
        folder: of the bundle, whose autoencoder previews are decoded with.
        records: with latents and embeddings.
        options: see there.
    """
    config = _family("sdit")
    _fit(config, bundle.sdit, records, options)
    config.optimizer.learning_rate = options.sdit_learning_rate
    config.ema_decay = options.sdit_ema_decay
    config.diffusion = ml_collections.ConfigDict(dataclasses.asdict(bundle.scheduler))
    config.autoencoder = str(folder / "autoencoder")
    config.data.encoded = True
    config.preview.preview_frames = bundle.sdit.num_frames
    config.preview.preview_steps = 4
    return config


def _fit(config: ml_collections.ConfigDict, model: object, records: Path, options: PersonaliseOptions) -> None:
    config.model = ml_collections.ConfigDict(dataclasses.asdict(model))
    config.data.source = str(records)
    config.batch_size = options.batch_size
    config.seed = options.seed
    config.optimizer.schedule = "constant"  # of a length that nobody knows
    config.optimizer.warmup_steps = 20
    config.log_every = 25
    config.preview_every = NEVER
    config.checkpoint.every = 50


def _family(name: str) -> ml_collections.ConfigDict:
    """The config of the model in the package.

    Raises:
        ValueError: the package was installed without its checkout.
    """
    root = Path(adiff_jax.__file__).resolve().parent.parent
    if not (root / "configs" / f"{name}.py").is_file():
        raise ValueError("training needs the folder configs/ of the checkout: install with pip install -e CHECKOUT")
    if str(root) not in sys.path:
        sys.path.append(str(root))
    return importlib.import_module(f"configs.{name}").get_config()
