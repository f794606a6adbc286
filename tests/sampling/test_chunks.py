"""Chunks are index arithmetic: every frame once, what is told is what was kept, one shape for all."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adiff_jax.sampling.chunks import Chunk, anchored_chunks, autoregressive_chunks, independent_chunks
from adiff_jax.sampling.groups import anchored_plan

DEALINGS = ("contiguous", "strided", "random", "shifted")


@st.composite
def anchored_cases(draw):
    """Arguments of `anchored_chunks`, and the number of frames."""
    num_frames = draw(st.integers(1, 60))
    anchor = draw(st.integers(-1, num_frames - 1))
    arguments = {
        "dealing": draw(st.sampled_from(DEALINGS)),
        "line": [frame for frame in range(num_frames) if frame != anchor],
        "anchor": anchor,
        "group_size": draw(st.integers(2, 7)),
        "group_batch": draw(st.integers(1, 9)),
        "gives_anchor": anchor >= 0,
        "shards": draw(st.sampled_from([1, 1, 2, 4])),
    }
    return arguments, num_frames


def check(chunks: list[Chunk], num_frames: int, begins: bool = True) -> None:
    """What holds for chunks of any kind."""
    arrays = [(c.frames, c.plan.groups, c.plan.slots, c.told, c.keep, c.new) for c in chunks]
    assert len({tuple(array.shape for array in chunk) for chunk in arrays}) == 1
    made = np.concatenate([chunk.frames[chunk.new] for chunk in chunks])
    assert sorted(made.tolist()) == list(range(num_frames))
    for before, after in itertools.pairwise(chunks):
        assert after.told.all()
        np.testing.assert_array_equal(before.frames[before.keep], after.frames[: len(after.told)])
        assert not after.new[: len(after.told)].any()
    if begins:
        assert not chunks[0].told.any()
    for chunk in chunks:
        for groups, slots in zip(chunk.plan.groups, chunk.plan.slots):
            np.testing.assert_array_equal(chunk.frames[groups.ravel()[slots]], chunk.frames)


@settings(max_examples=150, deadline=None)
@given(anchored_cases())
def test_anchored_chunks(case):
    arguments, num_frames = case
    chunks = anchored_chunks(**arguments)
    check(chunks, num_frames)
    for chunk in chunks:
        if arguments["shards"] == 1 or arguments["dealing"] != "shifted":
            assert chunk.plan.groups.shape[1] <= arguments["group_batch"]
        assert (chunk.frames[chunk.plan.groups[:, :, 0]] == arguments["anchor"]).all()
    if arguments["shards"] > 1 and arguments["dealing"] != "shifted":
        groups = -(-len(arguments["line"]) // (arguments["group_size"] - 1))
        assert chunks[0].plan.groups.shape[1] <= max(1, -(-groups // arguments["shards"]))  # work is divided

    if arguments["shards"] > 1:
        for chunk in chunks[:-1]:  # none passes on what it was told itself
            assert (chunk.keep[1:] >= np.count_nonzero(chunk.told)).all()


@settings(max_examples=60, deadline=None)
@given(anchored_cases())
def test_one_chunk_has_the_groups_of_the_plan(case):
    arguments, num_frames = case
    if arguments["anchor"] < 0:
        return
    (chunk,) = anchored_chunks(**arguments | {"group_batch": 100, "shards": 1})
    plan = anchored_plan(arguments["dealing"], num_frames, arguments["group_size"], arguments["anchor"])
    np.testing.assert_array_equal(chunk.frames[chunk.plan.groups], plan.groups)


@settings(max_examples=60, deadline=None)
@given(anchored_cases(), st.integers(1, 20))
def test_added_frames_follow_what_is_there(case, added):
    """The first chunk of an addition is told what the last one of the video kept."""
    arguments, num_frames = case
    before = anchored_chunks(**arguments)
    line = arguments["line"] or [0]
    more = {"line": range(num_frames, num_frames + added), "gives_anchor": False, "border": line[-10:]}
    chunks = anchored_chunks(**arguments | more)
    made = np.concatenate([chunk.frames[chunk.new] for chunk in chunks])
    np.testing.assert_array_equal(np.sort(made), np.arange(num_frames, num_frames + added))
    told = chunks[0].told
    kept = before[-1].frames[before[-1].keep]
    if arguments["line"]:
        np.testing.assert_array_equal(kept[told], chunks[0].frames[: len(told)][told])


def test_shifted_chunks_let_neighbours_meet_across_their_borders():
    chunks = anchored_chunks("shifted", range(1, 41), 0, 4, 3)
    meetings = set()
    for chunk in chunks:
        for group in chunk.frames[chunk.plan.groups].reshape(-1, 4):
            meetings |= set(itertools.pairwise(group.tolist()))
    assert len(chunks) > 3
    assert {(i, i + 1) for i in range(1, 40)} <= meetings


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(1, 7), st.integers(1, 9), st.sampled_from([1, 3]))
def test_independent_chunks(num_frames, group_size, group_batch, shards):
    chunks = independent_chunks(num_frames, group_size, group_batch, shards)
    check(chunks, num_frames)
    assert chunks[0].told.size == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(2, 7), st.data())
def test_autoregressive_chunks(num_frames, group_size, data):
    overlap = data.draw(st.integers(1, group_size - 1))
    chunks = autoregressive_chunks(num_frames, group_size, overlap)
    check(chunks, num_frames)
    made = np.concatenate([chunk.frames[chunk.new] for chunk in chunks])
    np.testing.assert_array_equal(made, np.arange(num_frames))  # in order


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: anchored_chunks("contiguous", range(5), -1, 1, 2), "group_size must be at least 2"),
        (lambda: anchored_chunks("contiguous", range(5), -1, 4, 0), "group_batch must be at least 1"),
        (lambda: autoregressive_chunks(9, 4, 0), "within 1 and 3"),
        (lambda: autoregressive_chunks(9, 4, 4), "within 1 and 3"),
    ],
)
def test_bad_sizes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
