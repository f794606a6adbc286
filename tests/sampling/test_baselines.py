"""MultiDiffusion and independent groups, with a denoiser that mixes the frames of a group."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.sampling.baselines import independent, multidiffusion
from adiff_jax.sampling.loop import sample
from adiff_jax.sampling.steps import DDIM

LATENT = (2, 2, 3)
KEY = jax.random.key(0)


def run(denoiser, process, num_frames):
    return sample(denoiser, process, KEY, (num_frames, *LATENT), steps=5, solver=DDIM(eta=1.0))


def plain(denoiser, cond):
    return lambda z_t, t, step: denoiser(z_t[None], t[None], cond)[0]


@pytest.mark.parametrize("overlap", [0, 1, 2, 3])
@pytest.mark.parametrize("num_frames", [4, 5, 9, 12])
def test_windows_are_averaged(mixing_denoiser, video_cond, overlap, num_frames):
    cond = video_cond(num_frames)
    z_t = jax.random.normal(KEY, (num_frames, *LATENT))
    starts = sorted({min(start, num_frames - 4) for start in range(0, num_frames, 4 - overlap)})
    total, count = np.zeros(z_t.shape), np.zeros((num_frames, 1, 1, 1))
    for start in starts:
        window = slice(start, start + 4)
        window_cond = cond.replace(landmarks=cond.landmarks[:, window])
        total[window] += mixing_denoiser(z_t[None, window], jnp.full(1, 300.0), window_cond)[0]
        count[window] += 1
    result = multidiffusion(mixing_denoiser, cond, 4, overlap)(z_t, jnp.asarray(300.0), jnp.asarray(0))
    np.testing.assert_allclose(result, total / count, atol=1e-5)


@pytest.mark.parametrize("num_frames", [1, 3, 4])
def test_one_window_is_plain_sampling(mixing_denoiser, process, video_cond, num_frames):
    cond = video_cond(num_frames)
    expected = run(plain(mixing_denoiser, cond), process, num_frames)
    for video_denoiser in (multidiffusion(mixing_denoiser, cond, 4, 2), independent(mixing_denoiser, cond, 4)):
        np.testing.assert_allclose(run(video_denoiser, process, num_frames), expected, atol=1e-5)


def test_without_overlap_full_windows_are_independent_groups(mixing_denoiser, process, video_cond):
    cond = video_cond(12)
    windows = run(multidiffusion(mixing_denoiser, cond, 4, 0), process, 12)
    np.testing.assert_allclose(windows, run(independent(mixing_denoiser, cond, 4), process, 12), atol=1e-5)


def reached(make, process, cond):
    """Frames that a change of the first frame's landmarks reaches."""
    changed = cond.replace(landmarks=cond.landmarks.at[:, 0].add(1.0))
    num_frames = cond.landmarks.shape[1]
    before, after = (np.asarray(run(make(c), process, num_frames)) for c in (cond, changed))
    return set(np.flatnonzero(np.abs(before - after).max((1, 2, 3)) > 0).tolist())


def test_independent_groups_share_nothing(mixing_denoiser, process, video_cond):
    assert reached(lambda cond: independent(mixing_denoiser, cond, 4), process, video_cond(10)) == {0, 1, 2, 3}


def test_overlap_passes_on_one_window_a_step(mixing_denoiser, process, video_cond):
    assert reached(lambda cond: multidiffusion(mixing_denoiser, cond, 4, 1), process, video_cond(25)) == set(range(16))


@pytest.mark.parametrize("overlap", [-1, 4])
def test_bad_overlap_is_refused(mixing_denoiser, video_cond, overlap):
    with pytest.raises(ValueError, match="within 0 and 3"):
        multidiffusion(mixing_denoiser, video_cond(9), 4, overlap)
