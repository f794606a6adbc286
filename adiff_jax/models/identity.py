"""A small residual network that embeds face chips, for measuring whether two pictures show the same drawn person."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from adiff_jax.models.convolution import Conv


@dataclasses.dataclass(frozen=True)
class IdentityConfig:
    """Options of `IdentityNetwork`.

    Attributes:
        image_size: side of the chips in pixels.
        padding: room around the face in a chip, see `media.chips.face_chip`.
        widths: channels of each stage; every stage halves height and width.
        blocks: residual blocks of each stage.
        embedding_dim: width of the embedding.
        num_groups: of the group norms.
    """

    image_size: int = 64
    padding: float = 0.45
    widths: tuple[int, ...] = (16, 32, 64, 128)
    blocks: tuple[int, ...] = (0, 0, 1, 1)
    embedding_dim: int = 64
    num_groups: int = 8

    def __post_init__(self):
        if len(self.widths) != len(self.blocks):
            raise ValueError(f"{len(self.widths)} widths and {len(self.blocks)} numbers of blocks: give one a stage")
        if self.image_size % 2 ** len(self.widths):
            raise ValueError(f"image_size {self.image_size} cannot be halved {len(self.widths)} times")
        if any(width % self.num_groups for width in self.widths):
            raise ValueError(f"widths {self.widths} must be multiples of num_groups {self.num_groups}")


class IdentityNetwork(nn.Module):
    """Stages of a strided convolution and pre-activation residual blocks, mean over space, linear, to length 1."""

    config: IdentityConfig

    @nn.compact
    def __call__(self, chips: Float[Array, "B H W 3"]) -> Float[Array, "B E"]:
        x = chips
        for stage, (width, blocks) in enumerate(zip(self.config.widths, self.config.blocks)):
            x = Conv(width, stride=2, name=f"down_{stage}")(self._norm(f"down_{stage}_norm", x) if stage else x)
            for block in range(blocks):
                name = f"block_{stage}_{block}"
                y = Conv(width, name=f"{name}_conv1")(self._norm(f"{name}_norm1", x))
                zeros = nn.initializers.zeros_init()
                x += Conv(width, kernel_init=zeros, name=f"{name}_conv2")(self._norm(f"{name}_norm2", y))
        x = self._norm("norm_out", x).mean(axis=(1, 2))
        x = nn.Dense(self.config.embedding_dim, name="embedding")(x)
        return x * jax.lax.rsqrt(jnp.square(x).sum(axis=-1, keepdims=True) + 1e-12)

    def _norm(self, name, x):
        return nn.silu(nn.GroupNorm(self.config.num_groups, name=name)(x))
