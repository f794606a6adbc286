"""Laws of the block transform."""

import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.models.block_transform import dct_basis, depth_to_space, space_to_depth


def test_space_to_depth_order_and_inverse():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 12, 6, 3)), jnp.float32)
    squares = space_to_depth(x, 3)
    assert squares.shape == (2, 4, 2, 27)
    np.testing.assert_array_equal(squares[1, 2, 1].reshape(3, 3, 3), x[1, 6:9, 3:6])
    np.testing.assert_array_equal(depth_to_space(squares, 3), x)


def test_sides_must_be_multiples_of_the_block():
    with pytest.raises(ValueError, match="multiples of 4"):
        space_to_depth(jnp.zeros((1, 8, 6, 3)), 4)


@pytest.mark.parametrize(("block", "channels"), [(2, 12), (4, 7), (8, 16)])
def test_the_basis_is_orthonormal_and_ordered_by_variance(block, channels):
    basis, deviations = dct_basis(block, channels)
    assert basis.shape == (3 * block**2, channels)
    np.testing.assert_allclose(basis.T @ basis, np.eye(channels), atol=1e-12)
    assert (np.diff(deviations) <= 0).all()


def test_a_full_basis_loses_nothing_and_the_first_component_is_grey():
    basis, _ = dct_basis(4, 48)
    x = np.random.default_rng(1).normal(size=(5, 48))
    np.testing.assert_allclose(x @ basis @ basis.T, x, atol=1e-12)
    np.testing.assert_allclose(basis[:, 0], 48**-0.5, atol=1e-12)


def test_more_channels_than_pixels_are_refused():
    with pytest.raises(ValueError, match="exceed the 12 values"):
        dct_basis(2, 13)
