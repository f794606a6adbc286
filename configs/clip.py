"""Configs of CLIP: pictures and captions in one space.

`small`: the one in the package, 128 x 128, with a tokenizer learned from the captions, on two CPU cores.

    python -m adiff_jax.train --config configs/clip.py:small --workdir runs/clip

`b32`, `l14`: OpenAI's ViT-B/32 and ViT-L/14, 224 x 224, for accelerators, with their tokenizer; to begin with their
weights:

    adiff import clip openai/clip-vit-large-patch14 imported
    python -m adiff_jax.train --config configs/clip.py:l14 --workdir runs/l14 --data RECORDS \
      --config.tokenizer=imported/tokenizer --config.init_from=imported/clip

    variant   parameters  FLOPs a sample     state  kept a sample  batch  runs on
    small         1.45 M           0.5 G   0.03 GB          11 MB     64  2 CPU cores
    b32         151.28 M          44.3 G   3.03 GB           4 MB   1024  4 x 16 GB
    l14         427.62 M         526.0 G   8.55 GB          20 MB   1024  16 x 16 GB

A sample is a picture and its caption; each hard negative of `small` is one text more. FLOPs are those of its forward
and backward pass. The state is weights, their average, AdamW's moments and the gradient. Beside it lies what is kept of
every sample of a batch for the backward pass: the inputs of its layers, and while a layer is recomputed, what that
keeps. It runs on the least power of two of devices that hold all of it, divided among them, in three quarters of their
memory.

Any with `,tiny` is a run of seconds. For a CPU, see the environment variables in `configs/autoencoder.py`.
"""

import ml_collections

from adiff_jax.models.clip import CLIPConfig
from configs.common import base_config, make_tiny, parse_arg

VARIANTS = {
    "small": CLIPConfig(
        image_size=128,
        patch_size=16,
        vision_width=128,
        vision_depth=4,
        vision_heads=4,
        vocab_size=1024,
        context_length=48,
        text_width=128,
        text_depth=2,
        text_heads=4,
        projection_dim=64,
        scan_layers=False,
    ),
    "b32": CLIPConfig(
        patch_size=32,
        vision_width=768,
        vision_depth=12,
        vision_heads=12,
        text_width=512,
        text_heads=8,
        projection_dim=512,
    ),
    "l14": CLIPConfig(),
}


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config of a variant; see the top of the file."""
    variant, tiny = parse_arg(arg, VARIANTS)
    config = base_config("clip", VARIANTS[variant])
    config.batch_size = 64
    config.steps = 4_500
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 100
    config.optimizer.b2 = 0.98
    config.optimizer.weight_decay = 0.1
    config.ema_decay = 0.99

    config.loss = ml_collections.ConfigDict()
    config.loss.hard_negatives = 3  # captions a picture that are wrong in one thing; drawn people have them
    config.tokenizer = ""  # folder of a CLIP tokenizer; empty: learn one
    config.tokenizer_clips = 3_000  # whose captions it is learned from

    if variant != "small":
        config.loss.hard_negatives = 0
        config.batch_size = 1024
        config.steps = 100_000
        config.data.size = 224
        config.optimizer.learning_rate = 5e-4
        config.optimizer.warmup_steps = 2_000
        config.model.dtype = "bfloat16"
        config.model.remat = True
    if tiny:
        make_tiny(
            config,
            CLIPConfig(
                image_size=32,
                patch_size=8,
                vision_width=16,
                vision_depth=1,
                vision_heads=2,
                vocab_size=520,
                context_length=16,
                text_width=16,
                text_depth=1,
                text_heads=2,
                projection_dim=8,
            ),
        )
        config.tokenizer_clips = 4
    return config
