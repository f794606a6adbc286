"""Configs of CLIP: pictures and captions in one space.

`small`: the one in the package, 128 x 128, with a tokenizer learned from the captions.

    python -m adiff_jax.train --config configs/clip.py:small --workdir runs/clip

`b32`, `l14`: OpenAI's architectures, for accelerators; give their tokenizer with `--config.tokenizer=FOLDER`.

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
    config.steps = 1_500
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 100
    config.optimizer.b2 = 0.98
    config.optimizer.weight_decay = 0.1
    config.ema_decay = 0.99

    config.tokenizer = ""  # folder of a CLIP tokenizer; empty: learn one
    config.tokenizer_clips = 3_000  # whose captions it is learned from

    if variant != "small":
        config.batch_size = 1024
        config.steps = 100_000
        config.data.size = 224
        config.optimizer.learning_rate = 5e-4
        config.optimizer.warmup_steps = 2_000
        config.model.dtype = "bfloat16"
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
