"""Configs of the sequence diffusion transformer, on the latents of a trained autoencoder.

`small128`: the one in the package, 128 x 128.

    python -m adiff_jax.train --config configs/sdit.py:small128 --workdir runs/sdit

The autoencoder and CLIP are those that the commands in their configs export; others by `--config.autoencoder=FOLDER`
and `--config.clip=FOLDER`.

`s`, `b`, `l`, `xl`: the sizes of DiT with 2 x 2 patches, on latents of 32 x 32 x 4 (pictures of 256 x 256), for
accelerators.

Any with `,tiny` is a run of seconds. With records that hold latents and CLIP embeddings, add
`--data RECORDS --config.data.encoded=True`; otherwise pictures are encoded in the training step. For a CPU, see the
environment variables in `configs/autoencoder.py`.
"""

import dataclasses

import ml_collections

from adiff_jax.diffusion.losses import RegionWeights
from adiff_jax.diffusion.process import DiffusionConfig
from adiff_jax.models.sdit import SDiTConfig
from configs.common import base_config, make_tiny, parse_arg

VARIANTS = {
    "small128": SDiTConfig.size("XXS/2", in_channels=16, input_size=16, clip_dim=64, scan_layers=False),
    "s": SDiTConfig.size("S/2"),
    "b": SDiTConfig.size("B/2"),
    "l": SDiTConfig.size("L/2"),
    "xl": SDiTConfig.size("XL/2"),
}


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config of a variant; see the top of the file."""
    variant, tiny = parse_arg(arg, VARIANTS)
    config = base_config("sdit", VARIANTS[variant])
    config.batch_size = 16
    config.steps = 6_000
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 200
    config.optimizer.schedule = "cosine"
    config.autoencoder = "runs/autoencoder/export/autoencoder"  # exported component
    config.clip = "runs/clip/export/clip"  # exported component, for records that are not encoded

    config.data.encoded = False  # records hold latents and CLIP embeddings
    config.data.spacing = "nonuniform"  # of the frames of a sequence: or contiguous, strided:K

    config.diffusion = ml_collections.ConfigDict(dataclasses.asdict(DiffusionConfig(schedule="cosine", prediction="v")))
    config.regions = ml_collections.ConfigDict(dataclasses.asdict(RegionWeights()))
    config.loss = ml_collections.ConfigDict()
    config.loss.min_snr_gamma = 0.0  # 5.0 for Min-SNR-5 weighting; 0 for none
    config.loss.drop_clip = 0.1
    config.loss.drop_landmarks = 0.1

    config.preview = ml_collections.ConfigDict()
    config.preview.preview_frames = 16
    config.preview.preview_steps = 25

    if variant != "small128":
        config.batch_size = 256
        config.steps = 400_000
        config.ema_decay = 0.9999
        config.data.size = 256
        config.optimizer.learning_rate = 1e-4
        config.optimizer.warmup_steps = 500
        config.optimizer.schedule = "constant"
        config.diffusion = ml_collections.ConfigDict(dataclasses.asdict(DiffusionConfig()))
        config.model.dtype = "bfloat16"
        config.model.remat = True
        config.checkpoint.every = 5_000
        config.preview_every = 5_000
    if tiny:
        make_tiny(
            config,
            SDiTConfig(in_channels=4, input_size=4, num_frames=3, depth=1, width=16, num_heads=2, clip_dim=8),
        )
        config.preview.preview_frames = 5
        config.preview.preview_steps = 2
    return config
