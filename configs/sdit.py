"""Configs of the sequence diffusion transformer, on the latents of a trained autoencoder.

`small128`: the one in the package, 128 x 128, on two CPU cores.

    python -m adiff_jax.train --config configs/sdit.py:small128 --workdir runs/sdit

The autoencoder and CLIP are those that the commands in their configs export; others by `--config.autoencoder=FOLDER`
and `--config.clip=FOLDER`. With records that hold latents and CLIP embeddings, add
`--data RECORDS --config.data.encoded=True`; otherwise pictures are encoded in the training step.

`s`, `b`, `l`, `xl`: the sizes of DiT with 2 x 2 patches on Stable Diffusion's latents, 32 x 32 x 4 of pictures of
256 x 256; `s512`, `b512`, `l512`, `xl512`: 64 x 64 x 4 of 512 x 512. They are for accelerators; to begin with DiT:

    adiff import autoencoder stabilityai/sd-vae-ft-mse imported
    adiff import dit DiT-XL-2-256x256.pt imported
    python -m adiff_jax.train --config configs/sdit.py:xl --workdir runs/xl --data RECORDS --config.data.encoded=True \
      --config.autoencoder=imported/autoencoder --config.init_from=imported/sdit

    variant   parameters  FLOPs a sample     state  kept a sample  batch  runs on
    small128      3.53 M           4.2 G   0.07 GB          52 MB     16  2 CPU cores
    s            34.38 M         194.4 G   0.69 GB          23 MB    256  2 x 16 GB
    b           133.93 M         650.3 G   2.68 GB          45 MB    256  4 x 16 GB
    l           463.19 M        2183.7 G   9.26 GB          86 MB    256  8 x 16 GB
    xl          681.14 M        3168.2 G  13.62 GB         107 MB    256  8 x 16 GB
    s512         34.38 M        1472.7 G   0.69 GB          89 MB    256  8 x 16 GB
    b512        133.93 M        3989.6 G   2.68 GB         161 MB    256  16 x 16 GB
    l512        463.19 M       12434.2 G   9.26 GB         311 MB    256  32 x 16 GB
    xl512       681.14 M       17526.7 G  13.62 GB         387 MB    256  32 x 16 GB

A sample is a sequence of 4 frames. FLOPs are those of its forward and backward pass. The state is weights, their
average, AdamW's moments and the gradient. Beside it lies what is kept of every sample of a batch for the backward pass:
the inputs of its blocks, and while a block is recomputed, what that keeps. It runs on the least power of two of devices
that hold all of it, divided among them, in three quarters of their memory.

Any with `,tiny` is a run of seconds. For a CPU, see the environment variables in `configs/autoencoder.py`.
"""

import dataclasses

import ml_collections

from adiff_jax.diffusion.losses import RegionWeights
from adiff_jax.diffusion.process import DiffusionConfig
from adiff_jax.models.sdit import SDiTConfig
from configs.common import base_config, make_tiny, parse_arg

DOWNSAMPLING = 8  # pixels a latent position, of Stable Diffusion's autoencoder and of ours

VARIANTS = {
    "small128": SDiTConfig.size("XXS/2", in_channels=16, input_size=16, clip_dim=64, scan_layers=False),
    "s": SDiTConfig.size("S/2"),
    "b": SDiTConfig.size("B/2"),
    "l": SDiTConfig.size("L/2"),
    "xl": SDiTConfig.size("XL/2"),
    "s512": SDiTConfig.size("S/2", input_size=64),
    "b512": SDiTConfig.size("B/2", input_size=64),
    "l512": SDiTConfig.size("L/2", input_size=64),
    "xl512": SDiTConfig.size("XL/2", input_size=64),
}


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config of a variant; see the top of the file."""
    variant, tiny = parse_arg(arg, VARIANTS)
    config = base_config("sdit", VARIANTS[variant])
    config.batch_size = 16
    config.steps = 10_200
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 200
    config.optimizer.schedule = "cosine"
    config.autoencoder = "runs/autoencoder/export/autoencoder"  # exported component
    config.clip = "runs/clip/export/clip"  # exported component, for records that are not encoded

    config.data.encoded = False  # records hold latents and CLIP embeddings
    config.data.spacing = "nonuniform"  # of the frames of a sequence: or contiguous, strided:K
    config.data.far_anchor = 0.5  # share of sequences whose anchor is any frame of the clip, as sampling meets it
    config.data.caption_share = 0.0  # share of sequences that a caption describes, not a picture; of encoded records

    config.diffusion = ml_collections.ConfigDict(dataclasses.asdict(DiffusionConfig(schedule="cosine", prediction="v")))
    config.regions = ml_collections.ConfigDict(dataclasses.asdict(RegionWeights(features=8.0)))
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
        config.data.size = DOWNSAMPLING * config.model.input_size
        config.optimizer.learning_rate = 1e-4
        config.optimizer.warmup_steps = 500
        config.optimizer.schedule = "constant"
        config.diffusion = ml_collections.ConfigDict(dataclasses.asdict(DiffusionConfig()))
        config.regions = ml_collections.ConfigDict(dataclasses.asdict(RegionWeights()))
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
