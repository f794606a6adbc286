"""Dummy denoisers and a small video, for laws of sampling that hold for any network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.diffusion.process import DiffusionConfig, Process
from adiff_jax.types import Conditioning


@pytest.fixture(scope="session")
def process() -> Process:
    return Process.create(DiffusionConfig(schedule="cosine", prediction="v"))


@pytest.fixture(scope="session")
def mixing_denoiser():
    """A denoiser in which every frame of a group acts on every other, by slot, landmarks, embedding and time."""

    def denoise(z_t, t, cond):
        slots = z_t.shape[1]
        mix = jnp.sin(jnp.arange(slots)[:, None] * 1.7 + jnp.arange(slots)) / slots
        motion = cond.landmarks.mean((2, 3))[:, :, None, None, None]
        person = cond.clip.mean(1)[:, None, None, None, None]
        mixed = jnp.einsum("ij,bjhwc->bihwc", mix, jnp.tanh(z_t + motion), precision=jax.lax.Precision.HIGHEST)
        return mixed + 0.3 * person - 0.2 * z_t + 0.1 * jnp.cos(t / 300)[:, None, None, None, None]

    return denoise


@pytest.fixture(scope="session")
def video_cond():
    """Makes the conditioning of a video of F frames: one sequence, landmarks of frame i the same for any F."""

    def make(num_frames: int) -> Conditioning:
        landmarks = np.random.default_rng(1).normal(size=(1, num_frames, 5, 2)).astype(np.float32)
        return Conditioning.create(jnp.full((1, 4), 0.5), jnp.asarray(landmarks))

    return make
