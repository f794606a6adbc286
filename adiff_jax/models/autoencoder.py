"""The autoencoder of latent diffusion: a Kullback-Leibler regularised convolutional autoencoder.

The graph and the parameter names are those of Stable Diffusion's autoencoder (Rombach et al. 2022, arXiv 2112.10752) as
published in diffusers' `AutoencoderKL`: a diffusers name becomes ours by writing `_` before a list index
(`encoder.down_blocks.0.resnets.1.conv1` is `encoder/down_blocks_0/resnets_1/conv1`). Two additions are ours, both for
autoencoders that are trained on a CPU: with `patch_size` p > 1 the encoder sees p x p pixels as channels of one
position (and the decoder's last convolution writes them), which is several times faster at the same total
downsampling; and `linear_path` adds a learned block transform to encoder and decoder, from which training starts.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from adiff_jax.models.attention import attention
from adiff_jax.models.block_transform import BlockDecoder, BlockEncoder, depth_to_space, space_to_depth
from adiff_jax.models.convolution import Conv, UpsampleConv

NORM_EPSILON = 1e-6
LINEAR_LOG_VARIANCE = -6.0  # of the posterior that the linear path begins with


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig:
    """Options of `AutoencoderKL`; the defaults are Stable Diffusion's (83.65 M parameters, 8x down).

    Attributes:
        in_channels: channels of a picture.
        latent_channels: channels of a latent.
        block_out_channels: width of each resolution; every step from one to the next halves height and width.
        layers_per_block: residual blocks a resolution in the encoder; the decoder has one more.
        norm_num_groups: groups of every group norm; divides each of `block_out_channels`.
        mid_block_add_attention: self-attention at the lowest resolution.
        scaling_factor: diffusion works on `(latent - shift_factor) * scaling_factor`, of unit variance over all; one
            number, or one a channel.
        shift_factor: see `scaling_factor`.
        patch_size: side of the pixel square folded into channels before the first convolution; 1 in Stable Diffusion.
        linear_path: add a linear transform of squares of pixels beside encoder and decoder, and let both begin at zero.
        dtype: type of the computation; norms and attention weights are float32 always.
        param_dtype: type of the parameters.
    """

    in_channels: int = 3
    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    norm_num_groups: int = 32
    mid_block_add_attention: bool = True
    scaling_factor: float | tuple[float, ...] = 0.18215
    shift_factor: float | tuple[float, ...] = 0.0
    patch_size: int = 1
    linear_path: bool = False
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        for name in ("block_out_channels", "scaling_factor", "shift_factor"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        if any(width % self.norm_num_groups for width in self.block_out_channels):
            raise ValueError(
                f"block_out_channels {self.block_out_channels} must all be multiples of "
                f"norm_num_groups {self.norm_num_groups}"
            )

    @property
    def downsampling(self) -> int:
        """Pixels a latent position, along one side."""
        return self.patch_size * 2 ** (len(self.block_out_channels) - 1)


def posterior_mean(moments: Float[Array, "*B h w c2"]) -> Float[Array, "*B h w c"]:
    """Mean, also the mode, of the diagonal Gaussian given by `moments`: mean and log variance, concatenated."""
    return jnp.split(moments, 2, axis=-1)[0]


def posterior_sample(key: PRNGKeyArray, moments: Float[Array, "*B h w c2"]) -> Float[Array, "*B h w c"]:
    """A sample of the diagonal Gaussian given by `moments`; log variances are clipped to [-30, 20] as in the source."""
    mean, log_variance = jnp.split(moments, 2, axis=-1)
    standard_deviation = jnp.exp(0.5 * jnp.clip(log_variance, -30.0, 20.0))
    return mean + standard_deviation * jax.random.normal(key, mean.shape, mean.dtype)


def kl_divergence(moments: Float[Array, "*B h w c2"]) -> Float[Array, "*B"]:
    """Divergence of the posterior from a standard normal, in nats, summed over a latent's positions and channels."""
    mean, log_variance = jnp.split(moments.astype(jnp.float32), 2, axis=-1)
    log_variance = jnp.clip(log_variance, -30.0, 20.0)
    return 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_variance) - 1.0 - log_variance, axis=(-3, -2, -1))


def scale_latents(config: AutoencoderConfig, latents: Float[Array, "*B h w c"]) -> Float[Array, "*B h w c"]:
    """From the autoencoder's latents to those that a diffusion model sees."""
    return (latents - jnp.asarray(config.shift_factor)) * jnp.asarray(config.scaling_factor)


def unscale_latents(config: AutoencoderConfig, latents: Float[Array, "*B h w c"]) -> Float[Array, "*B h w c"]:
    """Inverse of `scale_latents`."""
    return latents / jnp.asarray(config.scaling_factor) + jnp.asarray(config.shift_factor)


class AutoencoderKL(nn.Module):
    """Pictures to Gaussian posteriors over latents, and latents back to pictures.

    Latents here are *unscaled*; whoever feeds a diffusion model calls `scale_latents`.
    """

    config: AutoencoderConfig

    def setup(self):
        config = self.config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = _pointwise(config, 2 * config.latent_channels)
        self.post_quant_conv = _pointwise(config, config.latent_channels)
        if config.linear_path:
            sizes = {"block": config.downsampling, "latent_channels": config.latent_channels}
            self.linear_encoder = BlockEncoder(**sizes, **_types(config))
            self.linear_decoder = BlockDecoder(**sizes, **_types(config))

    def __call__(
        self, x: Float[Array, "*B H W C"], key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "*B H2 W2 C"], Float[Array, "*B h w c2"]]:
        """Reconstruction of `x`, and its moments; by a posterior sample if a `key` is given, else by the mean."""
        moments = self.encode(x)
        z = posterior_mean(moments) if key is None else posterior_sample(key, moments)
        return self.decode(z), moments

    def encode(self, x: Float[Array, "*B H W C"]) -> Float[Array, "*B h w c2"]:
        """Moments (mean, log variance) of the posterior of pictures in [-1, 1].

        Raises:
            ValueError: height or width is not a multiple of `patch_size`.
        """
        batch = x.shape[:-3]
        x = x.reshape(-1, *x.shape[-3:])
        moments = self.quant_conv(self.encoder(x))
        if self.config.linear_path:
            mean = self.linear_encoder(x)
            moments += jnp.concatenate([mean, jnp.full_like(mean, LINEAR_LOG_VARIANCE)], axis=-1)
        return moments.reshape(*batch, *moments.shape[1:])

    def decode(self, z: Float[Array, "*B h w c"]) -> Float[Array, "*B H W C"]:
        """Pictures, nominally in [-1, 1] and not clipped, of unscaled latents."""
        batch = z.shape[:-3]
        z = z.reshape(-1, *z.shape[-3:])
        x = self.decoder(self.post_quant_conv(z))
        if self.config.linear_path:
            x += self.linear_decoder(z)
        return x.reshape(*batch, *x.shape[1:])


class Encoder(nn.Module):
    """Pictures [B, H, W, C] to unquantised moments [B, h, w, 2c]."""

    config: AutoencoderConfig

    @nn.compact
    def __call__(self, x):
        config = self.config
        x = space_to_depth(x, config.patch_size)
        x = _conv(config, config.block_out_channels[0], name="conv_in")(x)
        for i, width in enumerate(config.block_out_channels):
            is_last = i == len(config.block_out_channels) - 1
            x = DownBlock(config, width, downsample=not is_last, name=f"down_blocks_{i}")(x)
        x = MidBlock(config, name="mid_block")(x)
        x = nn.silu(_norm(config, "conv_norm_out")(x))
        return _conv(config, 2 * config.latent_channels, name="conv_out", **_last(config))(x)


class Decoder(nn.Module):
    """Latents [B, h, w, c] to pictures [B, H, W, C]."""

    config: AutoencoderConfig

    @nn.compact
    def __call__(self, z):
        config = self.config
        widths = config.block_out_channels[::-1]
        x = _conv(config, widths[0], name="conv_in")(z)
        x = MidBlock(config, name="mid_block")(x)
        for i, width in enumerate(widths):
            is_last = i == len(widths) - 1
            x = UpBlock(config, width, upsample=not is_last, name=f"up_blocks_{i}")(x)
        x = nn.silu(_norm(config, "conv_norm_out")(x))
        x = _conv(config, config.patch_size**2 * config.in_channels, name="conv_out", **_last(config))(x)
        return depth_to_space(x, config.patch_size)


class DownBlock(nn.Module):
    """Residual blocks of one resolution, then, if asked for, a convolution of stride 2."""

    config: AutoencoderConfig
    width: int
    downsample: bool

    @nn.compact
    def __call__(self, x):
        for i in range(self.config.layers_per_block):
            x = ResidualBlock(self.config, self.width, name=f"resnets_{i}")(x)
        if self.downsample:
            padding = ((0, 1), (0, 1))  # asymmetric, as in the source
            x = _conv(self.config, self.width, stride=2, padding=padding, name="downsamplers_0_conv")(x)
        return x


class UpBlock(nn.Module):
    """Residual blocks of one resolution, then, if asked for, nearest-neighbour doubling and a convolution."""

    config: AutoencoderConfig
    width: int
    upsample: bool

    @nn.compact
    def __call__(self, x):
        for i in range(self.config.layers_per_block + 1):
            x = ResidualBlock(self.config, self.width, name=f"resnets_{i}")(x)
        if self.upsample:
            x = UpsampleConv(self.width, **_types(self.config), name="upsamplers_0_conv")(x)
        return x


class MidBlock(nn.Module):
    """The lowest resolution: residual block, self-attention, residual block."""

    config: AutoencoderConfig

    @nn.compact
    def __call__(self, x):
        width = x.shape[-1]
        x = ResidualBlock(self.config, width, name="resnets_0")(x)
        if self.config.mid_block_add_attention:
            x = SpatialAttention(self.config, name="attentions_0")(x)
        return ResidualBlock(self.config, width, name="resnets_1")(x)


class ResidualBlock(nn.Module):
    """Twice norm, SiLU, convolution; plus the input, projected where the width changes."""

    config: AutoencoderConfig
    width: int

    @nn.compact
    def __call__(self, x):
        y = nn.silu(_norm(self.config, "norm1")(x))
        y = _conv(self.config, self.width, name="conv1")(y)
        y = nn.silu(_norm(self.config, "norm2")(y))
        y = _conv(self.config, self.width, name="conv2")(y)
        if x.shape[-1] != self.width:
            x = _pointwise(self.config, self.width, name="conv_shortcut")(x)
        return x + y


class GroupNorm(nn.Module):
    """Group norm, computed and returned in float32; the convolution after it brings its input back to its own type.

    Sums are taken over positions first and within groups then, which a CPU does twice as fast as `nn.GroupNorm`.
    """

    groups: int
    param_dtype: str

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones_init(), (channels,), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros_init(), (channels,), self.param_dtype)

        def group_mean(x):
            mean = x.mean(axis=(1, 2)).reshape(x.shape[0], self.groups, -1).mean(axis=-1)
            return mean.repeat(channels // self.groups, axis=-1)[:, None, None]

        x = x.astype(jnp.float32)
        x = x - group_mean(x)
        return x * (jax.lax.rsqrt(group_mean(jnp.square(x)) + NORM_EPSILON) * scale) + bias


class SpatialAttention(nn.Module):
    """Single-head self-attention over all positions, added to its input."""

    config: AutoencoderConfig

    @nn.compact
    def __call__(self, x):
        batch, height, width, channels = x.shape
        y = _norm(self.config, "group_norm")(x).reshape(batch, height * width, 1, channels)
        query, key, value = (_pointwise(self.config, channels, name)(y) for name in ("to_q", "to_k", "to_v"))
        y = attention(query, key, value)
        return x + _pointwise(self.config, channels, "to_out_0")(y).reshape(x.shape)


def _types(config):
    return {"dtype": config.dtype, "param_dtype": config.param_dtype}


def _conv(config, features, name=None, **options):
    return Conv(features, **options, **_types(config), name=name)


def _last(config):
    return {"kernel_init": nn.initializers.zeros_init()} if config.linear_path else {}


def _pointwise(config, features, name=None):
    return nn.Dense(features, **_types(config), name=name)


def _norm(config, name):
    return GroupNorm(config.norm_num_groups, config.param_dtype, name=name)
