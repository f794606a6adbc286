"""Plans are index arithmetic: every frame once, the anchor everywhere."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adiff_jax.sampling.groups import anchored_plan, denoise_groups

DEALINGS = ("contiguous", "strided", "random", "shifted")


@st.composite
def plans(draw):
    num_frames = draw(st.integers(1, 40))
    anchor = draw(st.none() | st.integers(0, num_frames - 1))
    group_size = draw(st.integers(2, 9))
    dealing = draw(st.sampled_from(DEALINGS))
    plan = anchored_plan(dealing, num_frames, group_size, anchor, seed=draw(st.integers(0, 5)))
    return plan, num_frames, group_size, num_frames // 2 if anchor is None else anchor


@settings(max_examples=150, deadline=None)
@given(plans())
def test_every_frame_is_read_once_and_every_group_is_led_by_the_anchor(case):
    plan, num_frames, group_size, anchor = case
    groups, slots = np.asarray(plan.groups), np.asarray(plan.slots)
    assert plan.num_frames == num_frames
    assert groups.shape[2] == min(group_size, num_frames)
    assert groups.shape[1] == max(1, -(-(num_frames - 1) // (group_size - 1)))
    assert (groups[:, :, 0] == anchor).all()
    for round_, read in zip(groups, slots):
        np.testing.assert_array_equal(round_.ravel()[read], np.arange(num_frames))
        assert read[anchor] == 0  # from the first group
        members = np.concatenate([np.unique(group[1:]) for group in round_])
        assert sorted([*members, anchor]) == list(range(num_frames))


@settings(max_examples=100, deadline=None)
@given(plans())
def test_frames_of_a_group_are_in_time_order_and_padding_is_their_own(case):
    plan, *_ = case
    others = np.asarray(plan.groups)[:, :, 1:]
    steps = np.diff(others, axis=-1)
    assert (steps >= 0).all()
    if others.shape[-1] > 1:
        repeats = steps == 0  # once a frame repeats, it repeats to the end
        assert (repeats[..., :-1] <= repeats[..., 1:]).all()


def test_literal_plans():
    literal = {
        "contiguous": [[[4, 0, 1, 2], [4, 3, 5, 5], [4, 6, 7, 7]]],
        "strided": [[[4, 0, 3, 7], [4, 1, 5, 5], [4, 2, 6, 6]]],
    }
    for dealing, groups in literal.items():
        np.testing.assert_array_equal(anchored_plan(dealing, 8, 4).groups, groups)
    np.testing.assert_array_equal(
        anchored_plan("shifted", 7, 3, anchor=0).groups,
        [[[0, 1, 2], [0, 3, 4], [0, 5, 6]], [[0, 2, 3], [0, 4, 5], [0, 1, 6]]],
    )


def neighbours_that_meet(plan):
    return {
        pair
        for group in np.asarray(plan.groups).reshape(-1, plan.groups.shape[2])
        for pair in itertools.pairwise(group)
    }


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 40), st.integers(3, 9))
def test_shifted_lets_all_neighbours_meet(num_frames, group_size):
    plan = anchored_plan("shifted", num_frames, group_size, anchor=0)
    meetings = neighbours_that_meet(plan)
    assert {(i, i + 1) for i in range(1, num_frames - 1)} <= meetings
    fixed = neighbours_that_meet(anchored_plan("contiguous", num_frames, group_size, anchor=0))
    if num_frames > group_size:
        assert not {(i, i + 1) for i in range(1, num_frames - 1)} <= fixed


def test_random_depends_on_the_seed_alone():
    def deal(seed):
        return np.asarray(anchored_plan("random", 30, 4, seed=seed).groups)

    np.testing.assert_array_equal(deal(1), deal(1))
    assert (deal(1) != deal(2)).any()


def test_plans_repeat_over_the_steps():
    plan = anchored_plan("shifted", 20, 5)
    assert plan.groups.shape[0] == 4
    for step in range(9):
        groups, slots = plan.at(jnp.asarray(step))
        np.testing.assert_array_equal(groups, plan.groups[step % 4])
        np.testing.assert_array_equal(slots, plan.slots[step % 4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("zigzag", 8, 4), "zigzag"),
        (("contiguous", 0, 4), "at least one frame"),
        (("contiguous", 8, 1), "at least 2"),
        (("contiguous", 8, 4, 8), "choose 0 to 7"),
        (("contiguous", 8, 4, -1), "choose 0 to 7"),
    ],
)
def test_bad_plans_are_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):  # a TypeError where types are checked
        anchored_plan(*arguments)


def test_groups_get_their_frames_landmarks_and_the_person(video_cond):
    cond = video_cond(6)
    z_t = jnp.arange(6.0)[:, None, None, None] * jnp.ones((1, 2, 2, 1))
    groups = jnp.array([[2, 0, 1], [2, 3, 3], [2, 4, 5]])

    def check(z, t, group_cond):
        np.testing.assert_array_equal(z[:, :, 0, 0, 0], groups)
        np.testing.assert_array_equal(group_cond.landmarks, cond.landmarks[0][groups])
        assert group_cond.clip.shape == (3, 4) and group_cond.clip_mask.shape == group_cond.landmarks_mask.shape == (3,)
        assert (t == 7).all() and t.shape == (3,)
        return z

    denoise_groups(check, cond, z_t, jnp.asarray(7.0), groups, None)


@pytest.mark.parametrize("group_batch", [1, 2, 3, 5, 99])
def test_batching_groups_changes_nothing(mixing_denoiser, video_cond, group_batch):
    z_t = jnp.sin(jnp.arange(14 * 12.0)).reshape(14, 2, 2, 3)
    groups = anchored_plan("strided", 14, 4).groups[0]
    arguments = (mixing_denoiser, video_cond(14), z_t, jnp.asarray(500.0), groups)
    np.testing.assert_allclose(
        denoise_groups(*arguments, group_batch), denoise_groups(*arguments, None), rtol=1e-5, atol=1e-6
    )


def test_at_most_group_batch_groups_at_once(video_cond):
    sizes = []

    def denoiser(z_t, t, cond):
        sizes.append(len(z_t))
        return z_t

    groups = anchored_plan("contiguous", 14, 4).groups[0]
    denoise_groups(denoiser, video_cond(14), jnp.zeros((14, 2, 2, 3)), jnp.asarray(1.0), groups, 2)
    assert set(sizes) == {2}
