"""A bundle of tiny models with random weights, for tests that go the whole way."""

import dataclasses
from pathlib import Path

import jax
import numpy as np

from adiff_jax.data.captions import train_tokenizer
from adiff_jax.diffusion.process import DiffusionConfig
from adiff_jax.models.autoencoder import AutoencoderConfig
from adiff_jax.models.clip import CLIPConfig
from adiff_jax.models.sdit import SDiTConfig
from adiff_jax.weights.bundle import Bundle, abstract_params
from adiff_jax.weights.modality import Modality


def random_params(config: object, seed: int = 0) -> dict:
    """Small random weights of a model."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: 0.1 * rng.standard_normal(leaf.shape, np.float32), abstract_params(config))


def tiny_bundle(folder: Path) -> Bundle:
    """A bundle for pictures of 32 x 32 in groups of 3 frames; its tokenizer lies in `folder`."""
    train_tokenizer(["a face"], folder / "tokenizer", vocab_size=514)
    autoencoder = AutoencoderConfig(
        latent_channels=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, patch_size=4
    )
    clip = CLIPConfig(
        image_size=16,
        patch_size=8,
        vision_width=16,
        vision_depth=1,
        vision_heads=2,
        vocab_size=514,
        context_length=8,
        text_width=16,
        text_depth=1,
        text_heads=2,
        projection_dim=8,
        eos_token_id=513,
    )
    sdit = SDiTConfig(in_channels=4, input_size=4, num_frames=3, depth=1, width=16, num_heads=2, clip_dim=8)
    return Bundle(
        name="tiny",
        sdit=sdit,
        sdit_params=random_params(sdit),
        autoencoder=autoencoder,
        autoencoder_params=random_params(autoencoder),
        clip=clip,
        clip_params=random_params(clip),
        scheduler=DiffusionConfig(schedule="cosine", prediction="v"),
        tokenizer=folder / "tokenizer",
        card="# tiny\n",
    )


def tiny_bundle_for_texts(folder: Path) -> Bundle:
    """The same with made-up mean embeddings, which texts need."""
    means = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    return dataclasses.replace(tiny_bundle(folder), modality=Modality(*means))
