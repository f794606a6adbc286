"""Configs of identity networks: is it the same drawn person? For measuring only.

`small`: the one in the package, with which `adiff evaluate consistency` measures drawn people.

    python -m adiff_jax.train --config configs/identity.py:small --workdir runs/identity

With `,tiny` it is a run of seconds. For a CPU, see the environment variables in `configs/autoencoder.py`.
"""

import ml_collections

from adiff_jax.models.identity import IdentityConfig
from configs.common import base_config, make_tiny, parse_arg

VARIANTS = {"small": IdentityConfig()}


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config of a variant; see the top of the file."""
    variant, tiny = parse_arg(arg, VARIANTS)
    config = base_config("identity", VARIANTS[variant])
    config.batch_size = 64
    config.steps = 900
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 100
    config.optimizer.weight_decay = 0.05
    config.ema_decay = 0.99
    config.loss = ml_collections.ConfigDict()
    config.loss.temperature = 0.1
    if tiny:
        make_tiny(config, IdentityConfig(image_size=16, widths=(8, 16), blocks=(0, 1), embedding_dim=8))
    return config
