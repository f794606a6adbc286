"""Configs of the autoencoder: pictures to latents, eight times smaller on each side.

`small128`: the one in the package, for faces of 128 x 128, on two CPU cores.

    python -m adiff_jax.train --config configs/autoencoder.py:small128 --workdir runs/autoencoder

Afterwards, the decoder alone, so that it forgives what a diffusion model gets wrong:

    python -m adiff_jax.train --config configs/autoencoder.py:small128 --workdir runs/decoder --config.steps=2200 \
      --config.init_from=runs/autoencoder/export/autoencoder --config.loss.decoder_noise=0.3 \
      --config.regions.features=12

`sd`: the architecture of Stable Diffusion's autoencoder, 256 x 256, for accelerators; to begin with its weights:

    adiff import autoencoder stabilityai/sd-vae-ft-mse imported
    python -m adiff_jax.train --config configs/autoencoder.py:sd --workdir runs/sd --data RECORDS \
      --config.init_from=imported/autoencoder

    variant   parameters  FLOPs a sample     state  kept a sample  batch  runs on
    small128      1.47 M           3.2 G   0.03 GB          20 MB     16  2 CPU cores
    sd           83.65 M        2394.8 G   1.67 GB        4140 MB     64  32 x 16 GB

A sample is a picture. FLOPs are those of its forward and backward pass. The state is weights, their average, AdamW's
moments and the gradient. Beside it lies what is kept of every sample of a batch for the backward pass. It runs on the
least power of two of devices that hold all of it, divided among them, in three quarters of their memory.

Either with `,tiny` is a run of seconds. On a CPU, set these first: they save a tenth of the time, which otherwise goes
to page faults.

    export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=20000000000 MALLOC_TOP_PAD_=268435456 MALLOC_ARENA_MAX=1
    export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
"""

import dataclasses

import ml_collections

from adiff_jax.diffusion.losses import RegionWeights
from adiff_jax.models.autoencoder import AutoencoderConfig
from configs.common import base_config, make_tiny, parse_arg

VARIANTS = {
    "small128": AutoencoderConfig(
        latent_channels=16,
        block_out_channels=(48, 96),
        layers_per_block=1,
        norm_num_groups=8,
        mid_block_add_attention=False,
        patch_size=4,
        linear_path=True,
    ),
    "sd": AutoencoderConfig(),
}


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config of a variant; see the top of the file."""
    variant, tiny = parse_arg(arg, VARIANTS)
    config = base_config("autoencoder", VARIANTS[variant])
    config.batch_size = 16
    config.steps = 1_500
    config.ema_decay = 0.99
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 50
    config.optimizer.schedule = "cosine"

    config.loss = ml_collections.ConfigDict()
    config.loss.squared_weight = 0.5
    config.loss.gradient_weight = 0.5
    config.loss.kl_weight = 5e-4
    config.loss.decoder_noise = 0.0  # more: train only the decoder, of init_from, on latents with that much noise

    config.regions = ml_collections.ConfigDict(dataclasses.asdict(RegionWeights(face=2.0, features=6.0, dilation=0.08)))

    if variant == "sd":
        config.batch_size = 64
        config.steps = 200_000
        config.ema_decay = 0.999
        config.optimizer.learning_rate = 1e-4
        config.optimizer.warmup_steps = 500
        config.data.size = 256
        config.model.dtype = "bfloat16"
    if tiny:
        make_tiny(
            config,
            AutoencoderConfig(
                latent_channels=4,
                block_out_channels=(8, 16),
                layers_per_block=1,
                norm_num_groups=4,
                patch_size=config.model.patch_size,
            ),
        )
    return config
