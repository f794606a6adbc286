"""The properties of anchored sampling, with a denoiser that mixes the frames of a group, so that sharing matters."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.sampling.anchored import anchored
from adiff_jax.sampling.groups import Plan, anchored_plan
from adiff_jax.sampling.loop import frame_noise, sample, timesteps
from adiff_jax.sampling.steps import DDIM, DDPM

LATENT = (2, 2, 3)
KEY = jax.random.key(0)
DEALINGS = ("contiguous", "strided", "random", "shifted")
SHARES = ("first", "mean")
STEPS = 6
STOCHASTIC = DDIM(eta=1.0)


@partial(jax.jit, static_argnames=("denoiser", "share", "solver"))
def run(denoiser, process, cond, plan, share="first", key=KEY, solver=STOCHASTIC):
    """Samples a video of anchored groups."""
    shape = (plan.num_frames, *LATENT)
    return sample(anchored(denoiser, cond, plan, share), process, key, shape, steps=STEPS, solver=solver)


@partial(jax.jit, static_argnames=("denoiser", "share", "solver"))
def algorithm_1(denoiser, process, cond, plan, share, solver):
    """The paper's algorithm 1 word by word: every group has a latent of its own for each frame, the anchor too.

    Returns the latents of all groups, [G S h w c]. The plan is the same at every step.
    """
    groups = plan.groups[0]
    start_key, steps_key = jax.random.split(KEY)
    times = jnp.asarray(timesteps(process.schedule.num_steps, STEPS, "trailing"))

    def step(z, xs):
        step, t, s = xs

        def one_group(z, group):
            group_cond = cond.replace(landmarks=cond.landmarks[:, group])
            prediction = denoiser(z[None], t.astype(jnp.float32)[None], group_cond)[0]
            noise = frame_noise(jax.random.fold_in(steps_key, step), group, LATENT)
            return solver(process.schedule, z, process.to_x0(z, prediction, t), t, s, noise, None)[0]

        z = jax.vmap(one_group)(z, groups)
        return z.at[:, 0].set(z[0, 0] if share == "first" else z[:, 0].mean(0)), None

    z_T = jax.vmap(lambda group: frame_noise(start_key, group, LATENT))(groups)
    return jax.lax.scan(step, z_T, (jnp.arange(STEPS), times[:-1], times[1:]))[0]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("solver", [DDIM(0.0), DDPM()], ids=str)
def test_equals_algorithm_1(mixing_denoiser, process, video_cond, share, solver):
    """One latent a frame is the same as a copy a group, with the anchor's copies made equal after each step."""
    for dealing in ("contiguous", "strided", "random"):
        plan = anchored_plan(dealing, 10, 4, anchor=3)  # three full groups: no frame is repeated
        latents = algorithm_1(mixing_denoiser, process, video_cond(10), plan, share, solver)
        frames = latents.reshape(-1, *LATENT)[plan.slots[0]]
        z_0 = run(mixing_denoiser, process, video_cond(10), plan, share, solver=solver)
        np.testing.assert_allclose(z_0, frames, atol=1e-4)  # float32 through 6 steps


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("dealing", ["strided", "shifted"])
def test_every_group_sees_the_same_anchor_at_every_step(mixing_denoiser, process, video_cond, share, dealing):
    anchors = []

    def watching(z_t, t, cond):
        jax.debug.callback(lambda anchor: anchors.append(np.asarray(anchor)), z_t[:, 0], ordered=True)
        return mixing_denoiser(z_t, t, cond)

    jax.block_until_ready(run(watching, process, video_cond(9), anchored_plan(dealing, 9, 3), share))
    jax.effects_barrier()
    assert len(anchors) == STEPS
    for copies in anchors:
        assert len(copies) == 4
        assert (copies == copies[0]).all()


@pytest.mark.parametrize("dealing", ["contiguous", "strided", "random"])
def test_order_of_the_groups_after_the_first_changes_nothing(mixing_denoiser, process, video_cond, dealing):
    plan = anchored_plan(dealing, 13, 4)
    groups = np.asarray(plan.groups)
    permuted = Plan.create(groups[:, [0, *np.random.default_rng(0).permutation(np.arange(1, groups.shape[1]))]])
    results = [run(mixing_denoiser, process, video_cond(13), p) for p in (plan, permuted)]
    np.testing.assert_allclose(*results, atol=1e-5)


def test_order_of_the_groups_changes_nothing_with_mean(mixing_denoiser, process, video_cond):
    plan = anchored_plan("contiguous", 13, 4)
    results = [
        run(mixing_denoiser, process, video_cond(13), p, "mean")
        for p in (plan, Plan.create(np.asarray(plan.groups)[:, ::-1]))
    ]
    np.testing.assert_allclose(*results, atol=1e-5)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 5])
def test_one_group_is_plain_sampling(mixing_denoiser, process, video_cond, num_frames):
    cond = video_cond(num_frames)

    def plain(z_t, t, step):
        return mixing_denoiser(z_t[None], t[None], cond)[0]

    expected = sample(plain, process, KEY, (num_frames, *LATENT), steps=STEPS, solver=STOCHASTIC)
    for dealing in DEALINGS:
        plan = anchored_plan(dealing, num_frames, 5, anchor=0)
        for share in SHARES:
            np.testing.assert_allclose(run(mixing_denoiser, process, cond, plan, share), expected, atol=1e-5)


def test_the_anchor_depends_on_the_first_group_alone(mixing_denoiser, process, video_cond):
    plan = anchored_plan("contiguous", 11, 3, anchor=4)
    cond = video_cond(11)
    first = np.asarray(plan.groups)[0, 0]
    later = np.setdiff1d(np.arange(11), first)
    changed = cond.replace(landmarks=cond.landmarks.at[:, later].add(1.0))
    before, after = (np.asarray(run(mixing_denoiser, process, c, plan)) for c in (cond, changed))
    np.testing.assert_array_equal(before[first], after[first])
    assert (np.abs(before - after).max((1, 2, 3))[later] > 1e-3).all()

    before, after = (np.asarray(run(mixing_denoiser, process, c, plan, "mean")) for c in (cond, changed))
    assert np.abs(before - after)[4].max() > 1e-3


def test_later_groups_are_independent_given_the_anchor(mixing_denoiser, process, video_cond):
    """What happens in one later group does not reach another: so groups may be streamed."""
    plan = anchored_plan("strided", 12, 4)
    cond = video_cond(12)
    second = np.asarray(plan.groups)[0, 1, 1:]
    rest = np.setdiff1d(np.arange(12), second)
    changed = cond.replace(landmarks=cond.landmarks.at[:, second].add(1.0))
    before, after = (np.asarray(run(mixing_denoiser, process, c, plan)) for c in (cond, changed))
    np.testing.assert_array_equal(before[rest], after[rest])


def test_the_anchor_matters(mixing_denoiser, process, video_cond):
    """With shared anchors, every group feels a change of the anchor's landmarks."""
    cond = video_cond(12)
    changed = cond.replace(landmarks=cond.landmarks.at[:, 6].add(1.0))
    plan = anchored_plan("contiguous", 12, 4)
    before, after = (np.asarray(run(mixing_denoiser, process, c, plan)) for c in (cond, changed))
    assert (np.abs(before - after).max((1, 2, 3)) > 1e-4).all()


@pytest.mark.parametrize("group_size", [2, 5])
def test_noise_of_a_frame_does_not_depend_on_the_plan(process, video_cond, group_size):
    """With a denoiser that treats each frame alone, all plans give the same video."""

    def alone(z_t, t, cond):
        return jnp.tanh(z_t) + cond.landmarks.mean((2, 3))[:, :, None, None, None]

    results = [
        run(alone, process, video_cond(10), anchored_plan(dealing, 10, group_size, anchor), share)
        for dealing in DEALINGS
        for anchor in (0, 5, 9)
        for share in SHARES
    ]
    for result in results:
        np.testing.assert_allclose(result, results[0], atol=1e-5)


def test_shifted_differs_from_contiguous_by_what_neighbours_see(mixing_denoiser, process, video_cond):
    """A change of one frame stays in its group when borders are fixed, and spreads when they move."""
    cond = video_cond(21)
    changed = cond.replace(landmarks=cond.landmarks.at[:, 20].add(1.0))
    reached = {}
    for dealing in ("contiguous", "shifted"):
        plan = anchored_plan(dealing, 21, 5, anchor=0)
        before, after = (np.asarray(run(mixing_denoiser, process, c, plan)) for c in (cond, changed))
        reached[dealing] = set(np.flatnonzero(np.abs(before - after).max((1, 2, 3)) > 0).tolist())
    assert reached["contiguous"] == {17, 18, 19, 20}
    assert reached["contiguous"] < reached["shifted"]


def test_one_compilation_serves_all_keys_plans_and_conditions(mixing_denoiser, process, video_cond):
    run.clear_cache()
    for seed, (dealing, anchor) in enumerate([("contiguous", 0), ("strided", 3), ("random", 7)]):
        plan = anchored_plan(dealing, 10, 4, anchor)
        run(mixing_denoiser, process, video_cond(10), plan, key=jax.random.key(seed))
    assert run._cache_size() == 1


def test_the_loop_is_one_scan(mixing_denoiser, process, video_cond):
    plan = anchored_plan("shifted", 9, 3)
    jaxpr = jax.make_jaxpr(lambda key: run(mixing_denoiser, process, video_cond(9), plan, key=key))(KEY)
    assert str(jaxpr).count("scan[") == 1


def test_misfits_are_refused(mixing_denoiser, video_cond):
    plan = anchored_plan("contiguous", 9, 3)
    with pytest.raises(ValueError, match="landmarks of 8 frames do not fit a plan of 9"):
        anchored(mixing_denoiser, video_cond(8), plan)
    with pytest.raises((ValueError, TypeError), match="median"):  # a TypeError where types are checked
        anchored(mixing_denoiser, video_cond(9), plan, "median")
