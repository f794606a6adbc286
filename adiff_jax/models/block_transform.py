"""The linear path of a small autoencoder: squares of pixels to latents and back, beginning as JPEG's transform (ours).

A convolutional autoencoder spends most of a short training on finding what a transform coder does in closed form: keep
the low frequencies of every square of pixels, most of them in luma. Here that transform is a path of its own beside the
network, initialised to the discrete cosine transform and trained like the rest, so that the network begins at the
transform's quality and learns what it lacks. It is the learned relative of the non-parametric shortcuts of
"Deep Compression Autoencoder" (Chen et al. 2024, arXiv 2410.10733, section 3.1).
"""

import flax.linen as nn
import numpy as np
from jaxtyping import Array, Float

# Orthonormal colour axes (columns), luma and two of chroma, and their variances over luma's. These, and the fall of
# variance with frequency, are those of drawn heads to within a factor of two.
COLOUR_AXES = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]).T / np.sqrt([3.0, 2.0, 6.0])
COLOUR_VARIANCES = np.array([1.0, 0.25, 0.03])


class BlockEncoder(nn.Module):
    """Pictures [B, H, W, 3] to latents [B, H / block, W / block, c] of about unit variance, linearly."""

    block: int
    latent_channels: int
    param_dtype: str = "float32"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "B H W 3"]) -> Float[Array, "B h w c"]:
        basis, deviations = dct_basis(self.block, self.latent_channels)
        kernel = lambda key, shape, dtype: (basis / deviations).astype(dtype)  # noqa: E731
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        return nn.Dense(self.latent_channels, kernel_init=kernel, name="analysis", **types)(
            space_to_depth(x, self.block)
        )


class BlockDecoder(nn.Module):
    """Latents [B, h, w, c] to pictures [B, h * block, w * block, 3]; at first the transpose of `BlockEncoder`."""

    block: int
    latent_channels: int
    param_dtype: str = "float32"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, z: Float[Array, "B h w c"]) -> Float[Array, "B H W 3"]:
        basis, deviations = dct_basis(self.block, self.latent_channels)
        kernel = lambda key, shape, dtype: (basis * deviations).T.astype(dtype)  # noqa: E731
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        return depth_to_space(nn.Dense(len(basis), kernel_init=kernel, name="synthesis", **types)(z), self.block)


def dct_basis(
    block: int, channels: int
) -> tuple[Float[np.ndarray, "block_block_3 channels"], Float[np.ndarray, "channels"]]:
    """The components of a colour DCT-II of `block` x `block` pixels that vary most, and their standard deviations.

    Columns are orthonormal, pixels ordered as in `space_to_depth`. The variance of frequency (u, v) is taken to fall as
    1 / (1/20 + u^2 + v^2).

    Raises:
        ValueError: if there are fewer components than `channels`.
    """
    if channels > 3 * block**2:
        raise ValueError(f"{channels} latent channels exceed the {3 * block**2} values of a square of {block} pixels")
    frequency, position = np.meshgrid(np.arange(block), np.arange(block), indexing="ij")
    cosine = np.cos(np.pi * (position + 0.5) * frequency / block)
    cosine /= np.linalg.norm(cosine, axis=1, keepdims=True)
    basis = np.einsum("uy,vx,cd->yxcuvd", cosine, cosine, COLOUR_AXES).reshape(3 * block**2, -1)
    square = np.arange(block) ** 2
    variance = (COLOUR_VARIANCES / (0.05 + square[:, None] + square)[..., None]).reshape(-1)
    chosen = np.argsort(-variance, kind="stable")[:channels]
    # Pixels in [-1, 1] deviate by about 0.58, so the constant component, of variance 20 above, by `block` times that.
    return basis[:, chosen], 0.13 * block * np.sqrt(variance[chosen])


def space_to_depth(x: Float[Array, "B H W C"], block: int) -> Float[Array, "B H_p W_p C_p_p"]:
    """Folds squares of `block` x `block` pixels into channels, ordered (row, column, channel).

    Raises:
        ValueError: height or width is not a multiple of `block`.
    """
    if block == 1:
        return x
    batch, height, width, channels = x.shape
    if height % block or width % block:
        raise ValueError(f"picture of {height} x {width} pixels: both sides must be multiples of {block}")
    x = x.reshape(batch, height // block, block, width // block, block, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // block, width // block, -1)


def depth_to_space(x: Float[Array, "B H W C"], block: int) -> Float[Array, "B H_p W_p C_p"]:
    """Inverse of `space_to_depth`."""
    if block == 1:
        return x
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height, width, block, block, -1)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height * block, width * block, -1)
