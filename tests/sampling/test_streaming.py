"""Chunk by chunk gives what all at once gives; side by side gives what one after the other gives."""

import os
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.sampling.anchored import anchored
from adiff_jax.sampling.baselines import independent
from adiff_jax.sampling.chunks import anchored_chunks, autoregressive_chunks, independent_chunks
from adiff_jax.sampling.groups import anchored_plan
from adiff_jax.sampling.loop import Given, frame_noise, sample, sample_keeping, timesteps
from adiff_jax.sampling.steps import DDIM, DDPM, DPMSolverPlusPlus2M
from adiff_jax.sampling.streaming import sample_chunk

LATENT = (2, 2, 3)
KEY = jax.random.key(0)
STEPS = 5
ANCESTRAL = DDIM(1.0)
FIXED = ("contiguous", "strided", "random")


@partial(jax.jit, static_argnames=("denoiser", "solver"))
def run_chunk(denoiser, process, cond, chunk, known, solver, given=None):
    local = cond.replace(landmarks=cond.landmarks[:, chunk.frames])
    return sample_chunk(denoiser, process, KEY, local, chunk, known, LATENT, given=given, steps=STEPS, solver=solver)


def stream(denoiser, process, cond, chunks, solver=ANCESTRAL, known=None):
    """The frames that the chunks give, by number, and what a next chunk would be told."""
    frames = {}
    known = jnp.zeros((STEPS, len(chunks[0].told), *LATENT)) if known is None else known
    for chunk in chunks:
        latents, known = run_chunk(denoiser, process, cond, chunk, known, solver)
        frames |= zip(chunk.frames[chunk.new].tolist(), np.asarray(latents)[chunk.new])
    return frames, known


def stacked(frames):
    return np.stack([frames[number] for number in sorted(frames)])


@partial(jax.jit, static_argnames=("denoiser", "solver"))
def at_once(denoiser, process, cond, plan, solver=ANCESTRAL):
    return sample(anchored(denoiser, cond, plan), process, KEY, (plan.num_frames, *LATENT), steps=STEPS, solver=solver)


def line(num_frames, anchor):
    return np.delete(np.arange(num_frames), anchor)


@pytest.mark.parametrize("group_batch", [1, 2, 3, 4, 7, 99])
@pytest.mark.parametrize("dealing", FIXED)
def test_streaming_is_all_at_once(mixing_denoiser, process, video_cond, dealing, group_batch):
    """Whatever the chunks, where groups are independent given the anchor."""
    cond = video_cond(22)
    expected = at_once(mixing_denoiser, process, cond, anchored_plan(dealing, 22, 4, 13))
    chunks = anchored_chunks(dealing, line(22, 13), 13, 4, group_batch)
    frames, _ = stream(mixing_denoiser, process, cond, chunks)
    np.testing.assert_allclose(stacked(frames), expected, atol=1e-5)  # sums of another batch, in float32


@pytest.mark.parametrize("solver", [DDIM(0.0), DDPM(), DPMSolverPlusPlus2M(), DPMSolverPlusPlus2M(1.0)], ids=str)
def test_streaming_is_all_at_once_by_every_solver(mixing_denoiser, process, video_cond, solver):
    cond = video_cond(14)
    expected = at_once(mixing_denoiser, process, cond, anchored_plan("contiguous", 14, 3, 0), solver)
    frames, _ = stream(mixing_denoiser, process, cond, anchored_chunks("contiguous", line(14, 0), 0, 3, 2), solver)
    np.testing.assert_allclose(stacked(frames), expected, atol=1e-5)


def test_shifted_in_one_chunk_is_all_at_once(mixing_denoiser, process, video_cond):
    cond = video_cond(22)
    expected = at_once(mixing_denoiser, process, cond, anchored_plan("shifted", 22, 4, 13))
    frames, _ = stream(mixing_denoiser, process, cond, anchored_chunks("shifted", line(22, 13), 13, 4, 99))
    np.testing.assert_allclose(stacked(frames), expected, atol=1e-5)


def test_the_border_of_shifted_chunks_passes_on_what_was_and_nothing_back(mixing_denoiser, process, video_cond):
    """A change in the first chunk reaches frames after its end, one in the second chunk none before its beginning."""
    cond = video_cond(40)
    chunks = anchored_chunks("shifted", range(1, 40), 0, 4, 5)
    first, second = (chunk.frames[chunk.new] for chunk in chunks[:2])
    base = stacked(stream(mixing_denoiser, process, cond, chunks)[0])

    def reached(frame):
        changed = cond.replace(landmarks=cond.landmarks.at[:, frame].add(1.0))
        frames = stacked(stream(mixing_denoiser, process, changed, chunks)[0])
        return set(np.flatnonzero(np.abs(frames - base).max((1, 2, 3)) > 0).tolist())

    assert set(second[:2].tolist()) <= reached(int(first[-1]))
    assert reached(int(second[1])).isdisjoint(first.tolist())
    fixed = anchored_chunks("contiguous", range(1, 40), 0, 4, 5)
    before = stacked(stream(mixing_denoiser, process, cond, fixed)[0])
    last = int(fixed[0].frames[fixed[0].new][-1])
    changed = cond.replace(landmarks=cond.landmarks.at[:, last].add(1.0))
    after = stacked(stream(mixing_denoiser, process, changed, fixed)[0])
    assert np.flatnonzero(np.abs(before - after).max((1, 2, 3)) > 0).max() == last


@pytest.mark.parametrize("dealing", [*FIXED, "shifted"])
def test_frames_can_be_added_later_and_belong_to_the_video(mixing_denoiser, process, video_cond, dealing):
    """They are sampled against the same anchor: with fixed groups, just as any frames of the video."""
    cond, more = video_cond(12), video_cond(19)
    chunks = anchored_chunks(dealing, line(12, 6), 6, 4, 2)
    _, known = stream(mixing_denoiser, process, cond, chunks)
    added = anchored_chunks(dealing, range(12, 19), 6, 4, 2, gives_anchor=False, border=[10, 11])
    frames, _ = stream(mixing_denoiser, process, more, added, known=known)
    assert sorted(frames) == list(range(12, 19))
    if dealing == "shifted":
        return
    (alone,) = anchored_chunks(dealing, range(12, 19), 6, 4, 99, gives_anchor=False, border=[10, 11])
    together, _ = stream(mixing_denoiser, process, more, [alone], known=known)
    np.testing.assert_allclose(stacked(frames), stacked(together), atol=1e-5)
    other, _ = stream(mixing_denoiser, process, more, added, known=known + 0.5)
    assert (np.abs(stacked(other) - stacked(frames)).max((1, 2, 3)) > 1e-3).all(), "every frame sees the anchor"


def test_independent_chunks_are_independent_groups(mixing_denoiser, process, video_cond):
    cond = video_cond(14)
    expected = sample(independent(mixing_denoiser, cond, 4), process, KEY, (14, *LATENT), steps=STEPS, solver=DDIM(1.0))
    for group_batch in (1, 3):
        frames, _ = stream(mixing_denoiser, process, cond, independent_chunks(14, 4, group_batch))
        np.testing.assert_allclose(stacked(frames), expected, atol=1e-5)


def test_one_program_serves_all_chunks(mixing_denoiser, process, video_cond):
    run_chunk.clear_cache()
    stream(mixing_denoiser, process, video_cond(40), anchored_chunks("shifted", line(40, 20), 20, 4, 3))
    assert run_chunk._cache_size() == 1


@pytest.mark.parametrize("solver", [DDIM(0.0), DDIM(1.0), DPMSolverPlusPlus2M()], ids=str)
def test_given_frames_come_out_as_they_are_and_the_others_go_with_them(mixing_denoiser, process, video_cond, solver):
    cond = video_cond(9)
    plan = anchored_plan("contiguous", 9, 3, 4)

    @jax.jit
    def run(latents, frames):
        given = Given(jnp.isin(jnp.arange(9), frames), latents)
        return sample(
            anchored(mixing_denoiser, cond, plan),
            process,
            KEY,
            latents.shape,
            steps=STEPS,
            solver=solver,
            given=given,
        )

    latents = jax.random.normal(jax.random.key(5), (9, *LATENT))
    result = run(latents, jnp.array([4, 4]))
    np.testing.assert_allclose(result[4], latents[4], atol=1e-5)
    other = run(-latents, jnp.array([4, 4]))
    assert (jnp.abs(result - other).max((1, 2, 3)) > 1e-3).all(), "a given anchor reaches every frame"
    other = run(-latents, jnp.array([0, 1]))
    np.testing.assert_allclose(other[:2], -latents[:2], atol=1e-5)


@pytest.mark.parametrize("solver", [DDIM(0.0), DPMSolverPlusPlus2M()], ids=str)
def test_a_given_frame_is_noised_by_its_own_noise(process, solver):
    """Deterministic solvers take it along alpha_t z_0 + sigma_t epsilon, epsilon the frame's noise at the start."""
    z_0 = jax.random.normal(jax.random.key(5), (2, *LATENT))
    given = Given(jnp.array([False, True]), z_0)
    numbers = jnp.array([3, 8])
    _, way = sample_keeping(
        lambda z_t, t, step: jnp.tanh(z_t),
        process,
        KEY,
        z_0.shape,
        steps=STEPS,
        solver=solver,
        frames=numbers,
        given=given,
        keep=jnp.array([1]),
    )
    epsilon = frame_noise(jax.random.split(KEY)[0], numbers, LATENT)[1]
    times = timesteps(1000, STEPS, "trailing")[:-1]
    expected = jax.vmap(lambda t: process.corrupt(z_0[1], epsilon, t))(jnp.asarray(times))
    np.testing.assert_allclose(way[:, 0], expected, atol=1e-4)  # sigma is divided by


def test_a_given_frame_is_a_draw_of_the_forward_process(process):
    """Stochastic solvers too: at every step, mean alpha_t z_0 and deviation sigma_t."""
    z_0 = jnp.full((400, 2, 2, 3), 0.7)
    given = Given(jnp.ones(400, bool), z_0)
    _, way = sample_keeping(
        lambda z_t, t, step: z_t,
        process,
        KEY,
        z_0.shape,
        steps=STEPS,
        solver=DDIM(1.0),
        given=given,
        keep=jnp.arange(400),
    )
    for t, z_t in zip(timesteps(1000, STEPS, "trailing"), way):
        alpha, sigma = map(float, process.schedule.at(jnp.asarray(t)))
        assert z_t.mean() == pytest.approx(0.7 * alpha, abs=4 * sigma / 4800**0.5 + 1e-6)  # 4 standard errors
        assert z_t.std() == pytest.approx(sigma, rel=0.05)


def test_autoregressive_segments_begin_with_the_end_of_the_one_before(mixing_denoiser, process, video_cond):
    """What the pipeline does with these chunks: the head is given, the rest is sampled; a change goes on for ever."""
    cond = video_cond(14)
    chunks = autoregressive_chunks(14, 4, 1)

    def run(cond):
        frames, head = {}, jnp.zeros((1, *LATENT))
        for chunk in chunks:
            size = len(chunk.frames)
            given = Given(jnp.zeros(size, bool).at[0].set(chunk.told[0]), jnp.zeros((size, *LATENT)).at[:1].set(head))
            alone = chunk.replace(told=chunk.told[:0], keep=chunk.keep[:0])
            latents, _ = run_chunk(
                mixing_denoiser, process, cond, alone, jnp.zeros((STEPS, 0, *LATENT)), DDIM(1.0), given
            )
            np.testing.assert_allclose(latents[0], head[0] if chunk.told[0] else latents[0], atol=1e-5)
            head = latents[chunk.keep]
            frames |= zip(chunk.frames[chunk.new].tolist(), np.asarray(latents)[chunk.new])
        return stacked(frames)

    base = run(cond)
    assert base.shape[0] == 14
    changed = run(cond.replace(landmarks=cond.landmarks.at[:, 0].add(1.0)))
    assert (np.abs(base - changed).max((1, 2, 3)) > 0).all()


def test_an_edit_of_little_strength_stays_near_its_start(mixing_denoiser, process, video_cond):
    cond, plan = video_cond(9), anchored_plan("contiguous", 9, 3, 4)
    start = jax.random.normal(jax.random.key(5), (9, *LATENT))

    def run(strength, **more):
        options = {"steps": 20, "solver": DDIM(0.0), "strength": strength, **more}
        return sample(anchored(mixing_denoiser, cond, plan), process, KEY, start.shape, **options)

    distances = [float(jnp.abs(run(strength, start=start) - start).mean()) for strength in (0.05, 0.4, 1.0)]
    assert distances[0] < 0.2 < distances[1] < distances[2]
    with pytest.raises(ValueError, match="strength must be above 0"):
        run(0.0, start=start)


EIGHT_DEVICES = """
    import re
    from functools import partial
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import PartitionSpec as P
    from adiff_jax.diffusion.process import DiffusionConfig, Process
    from adiff_jax.runtime.sharding import make_mesh
    from adiff_jax.sampling.chunks import anchored_chunks
    from adiff_jax.sampling.steps import DDIM
    from adiff_jax.sampling.streaming import sample_chunk
    from adiff_jax.types import Conditioning

    LATENT, STEPS, KEY = (2, 2, 3), 4, jax.random.key(0)
    mesh = make_mesh({"group": 8})
    process = Process.create(DiffusionConfig(schedule="cosine", prediction="v"))
    landmarks = jnp.asarray(np.random.default_rng(1).normal(size=(73, 5, 2)), jnp.float32)

    def denoiser(z_t, t, cond):
        slots = z_t.shape[1]
        mix = jnp.sin(jnp.arange(slots)[:, None] * 1.7 + jnp.arange(slots)) / slots
        motion = cond.landmarks.mean((2, 3))[:, :, None, None, None]
        return jnp.einsum("ij,bjhwc->bihwc", mix, jnp.tanh(z_t + motion), precision="highest") - 0.2 * z_t

    def one(chunk, known, axis=None):
        cond = Conditioning.create(jnp.ones((1, 4)), landmarks[chunk.frames][None])
        options = {"axis": axis, "steps": STEPS, "solver": DDIM(1.0)}
        return sample_chunk(denoiser, process, KEY, cond, chunk, known, LATENT, **options)

    @jax.jit
    def side_by_side(stacked, known):
        def run(stacked):
            results = one(jax.tree.map(lambda x: x[0], stacked), known, "group")
            return jax.tree.map(lambda x: x[None], results)
        return jax.shard_map(run, mesh=mesh, in_specs=P("group"), out_specs=P("group"), check_vma=False)(stacked)

    cases = (("contiguous", 30, 4, 99), ("strided", 0, 4, 99), ("shifted", 30, 4, 99), ("shifted", 30, 5, 1))
    for dealing, anchor, size, batch in cases:
        line = np.delete(np.arange(73), anchor)
        chunks = anchored_chunks(dealing, line, anchor, size, batch, shards=8)[:8]
        assert len(chunks) == 8, len(chunks)
        known = first = jnp.zeros((STEPS, len(chunks[0].told), *LATENT))
        expected = []
        for chunk in chunks:
            latents, known = jax.jit(one)(chunk, known)
            expected.append(latents)
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *chunks)
        latents, _ = side_by_side(stacked, first)
        for chunk, ours, theirs in zip(chunks, latents, expected):
            np.testing.assert_allclose(ours[chunk.new], theirs[chunk.new], atol=1e-5)

        program = side_by_side.lower(stacked, first).compile().as_text()
        kinds = "all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter"
        traffic = re.findall(rf"= \\(?(\\w+\\[[\\d,]*\\])\\S* ({kinds})(?:-start)?\\(", program)
        print(dealing, traffic)
        anchors = [("f32[1,2,2,3]", "all-reduce")]
        borders = [(f"f32[{size - 2},2,2,3]", "collective-permute")] if dealing == "shifted" else []
        assert sorted(traffic) == sorted(anchors + borders), traffic
"""


@pytest.mark.slow
def test_devices_side_by_side_share_the_anchor_alone(root: Path) -> None:
    """Eight devices give what one gives; in the compiled loop nothing crosses but the anchor's latent (and, of shifted
    groups, that of the border).
    """
    environ = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(root),
    }
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(EIGHT_DEVICES)], env=environ, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
