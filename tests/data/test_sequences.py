"""Laws of the sequence draw, over many draws."""

import numpy as np
import pytest

from adiff_jax.data.sequences import draw_sequence

DRAWS = 4000


def draw(num_frames: int, length: int, spacing: str, draws: int = DRAWS) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([draw_sequence(rng, num_frames, length, spacing) for _ in range(draws)])


@pytest.mark.parametrize("spacing", ["nonuniform", "contiguous", "strided:3"])
@pytest.mark.parametrize(("num_frames", "length"), [(10, 4), (64, 4), (64, 16), (4, 2), (1, 1)])
def test_distinct_in_range_anchor_first_rest_in_order(spacing, num_frames, length):
    for frames in draw(num_frames, length, spacing, 200):
        assert frames.shape == (length,)
        assert len(set(frames.tolist())) == length
        assert frames.min() >= 0
        assert frames.max() < num_frames
        assert (np.diff(frames[1:]) > 0).all()


@pytest.mark.parametrize(("spacing", "step"), [("contiguous", 1), ("strided:5", 5)])
def test_uniform_spacings(spacing, step):
    ordered = np.sort(draw(40, 4, spacing), axis=1)
    assert (np.diff(ordered, axis=1) == step).all()
    assert set(ordered[:, 0]) == set(range(40 - 3 * step))


@pytest.mark.parametrize("spacing", ["nonuniform", "contiguous", "strided:3"])
def test_every_place_may_be_the_anchor(spacing):
    sequences = draw(40, 4, spacing)
    rank = (sequences[:, :1] > sequences[:, 1:]).sum(axis=1)
    # Each rank has probability 1/4; four standard deviations of a binomial with 4000 draws are 0.027.
    np.testing.assert_allclose(np.bincount(rank, minlength=4) / DRAWS, 0.25, atol=0.027)


def test_nonuniform_reaches_the_whole_clip_and_is_not_uniform():
    ordered = np.sort(draw(64, 4, "nonuniform"), axis=1)
    assert ordered.min() == 0
    assert ordered.max() == 63
    gaps = np.diff(ordered, axis=1)
    extent = ordered[:, -1] - ordered[:, 0] + 1
    assert (gaps.min(axis=1) < gaps.max(axis=1)).mean() > 0.7
    # Log-uniform spans put half of the sequences within sqrt(4 * 65) ~ 16 frames; a uniform draw of 4 out of 64
    # frames would put only 4 % of them there.
    assert 0.5 < (extent <= 16).mean() < 0.75
    assert (extent > 48).mean() > 0.005


def test_span_is_log_uniform():
    # Of S = 2 frames drawn in a span n, the extent is n with probability 2 / n.
    ordered = np.sort(draw(8, 2, "nonuniform", 20_000), axis=1)
    adjacent = (ordered[:, 1] - ordered[:, 0] == 1).mean()
    spans = np.arange(2, 9)
    weight = np.log((spans + 1) / spans) / np.log(9 / 2)
    expected = (weight * (spans - 1) / (spans * (spans - 1) / 2)).sum()
    # Four standard deviations of 20,000 draws.
    assert adjacent == pytest.approx(expected, abs=0.0142)


def test_far_anchors_are_anywhere_in_the_clip():
    rng = np.random.default_rng(0)
    sequences = np.stack([draw_sequence(rng, 64, 4, "nonuniform", far_anchor=1.0) for _ in range(DRAWS)])
    assert all(len(set(sequence.tolist())) == 4 for sequence in sequences)
    assert (np.diff(sequences[:, 1:], axis=1) > 0).all()
    # Uniform over 64 frames but for the three that the others take: each quarter has 1/4 of the anchors, within
    # four standard deviations (0.027) and what the others' places do to it.
    np.testing.assert_allclose(np.histogram(sequences[:, 0], 4, (0, 64))[0] / DRAWS, 0.25, atol=0.04)

    def far(share):
        rng = np.random.default_rng(1)
        drawn = np.stack([draw_sequence(rng, 64, 4, "nonuniform", far_anchor=share) for _ in range(DRAWS)])
        return (np.abs(drawn[:, :1] - drawn[:, 1:]).min(axis=1) >= 24).mean()

    assert far(0.0) < 0.02
    assert far(0.5) > 0.1


def test_without_far_anchors_the_draw_is_the_papers():
    ours, papers = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(50):
        with_option = draw_sequence(ours, 64, 4, "nonuniform", far_anchor=0.0)
        np.testing.assert_array_equal(with_option, draw_sequence(papers, 64, 4, "nonuniform"))


def test_a_clip_without_other_frames_keeps_its_anchor():
    assert sorted(draw_sequence(np.random.default_rng(0), 4, 4, "contiguous", far_anchor=1.0)) == [0, 1, 2, 3]


def test_same_generator_same_draw():
    np.testing.assert_array_equal(draw(50, 5, "nonuniform", 10), draw(50, 5, "nonuniform", 10))


@pytest.mark.parametrize(
    ("num_frames", "length", "spacing", "message"),
    [
        (3, 4, "nonuniform", "a clip of 3 frames cannot give a sequence of 4"),
        (9, 4, "strided:3", "cannot give"),
        (9, 0, "nonuniform", "sequence of 0"),
        (9, 4, "strided", "none of nonuniform, contiguous, strided:K"),
        (9, 4, "strided:0", "none of"),
        (9, 4, "random", "none of"),
    ],
)
def test_impossible_sequences_are_refused(num_frames, length, spacing, message):
    with pytest.raises(ValueError, match=message):
        draw_sequence(np.random.default_rng(0), num_frames, length, spacing)
