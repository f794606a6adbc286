"""The identity network: embeddings of length 1, of chips whose sizes fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.models.identity import IdentityConfig, IdentityNetwork

TINY = IdentityConfig(image_size=16, widths=(8, 16), blocks=(0, 1), embedding_dim=8)


def test_embeddings_have_length_one_and_tell_chips_apart() -> None:
    network = IdentityNetwork(TINY)
    chips = jax.random.uniform(jax.random.key(0), (3, 16, 16, 3), minval=-1)
    params = network.init(jax.random.key(1), chips)
    embeddings = network.apply(params, chips)
    assert embeddings.shape == (3, 8)
    np.testing.assert_allclose(jnp.linalg.norm(embeddings, axis=-1), 1, rtol=1e-5)
    assert embeddings[0] @ embeddings[1] < 0.9999
    np.testing.assert_allclose(embeddings, network.apply(params, chips + 1e-6), atol=1e-3)


def test_the_shipped_size_is_small() -> None:
    config = IdentityConfig()
    chips = jax.ShapeDtypeStruct((1, config.image_size, config.image_size, 3), jnp.float32)
    params = jax.eval_shape(IdentityNetwork(config).init, jax.random.key(0), chips)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) * 2 < 2e6, "two bytes a weight, two megabytes"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 20}, "cannot be halved"),
        ({"widths": (16, 32)}, "2 widths and 4"),
        ({"num_groups": 12}, "multiples of num_groups"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IdentityConfig(**options)
