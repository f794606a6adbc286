"""Pictures as tasks show them, and as CLIP takes them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8


def as_bytes(image: Float[Array, "*N H W 3"]) -> UInt8[Array, "*N H W 3"]:
    """Pictures in [-1, 1] as uint8, rounded; values outside are clipped."""
    return jnp.clip(jnp.round((image + 1.0) * 127.5), 0, 255).astype(jnp.uint8)


def resize(image: Float[Array, "B H W 3"], side: int) -> Float[Array, "B side side 3"]:
    """Pictures of another size, cubic and antialiased: as pictures are brought to CLIP everywhere in this project."""
    if image.shape[1:3] == (side, side):
        return image
    return jax.image.resize(image, (image.shape[0], side, side, image.shape[3]), "cubic")
