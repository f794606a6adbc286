"""sDiT, the sequence diffusion transformer (paper, section 3): DiT with a temporal axis.

DiT (Peebles and Xie 2023, arXiv 2212.09748) denoises one latent picture; sDiT denoises the S frames of a sequence
together. The trunk keeps the names of facebookresearch/DiT, and with S = 1 and null conditions it is DiT. What differs:

- a fixed sin-cos encoding of the frame's slot is added, zero in slot 0, the anchor's;
- attention runs over the tokens of all frames;
- the class embedding is replaced by an embedding of the CLIP vector, and each frame's landmarks, also in a basis in
  which small motions count (`face_basis`), are added to its conditioning vector: modulations differ between frames;
- ours: landmarks also enter as a map, at the place where they lie (`LandmarkMap`).

    z_t [B,S,h,w,c] ──► patches [B,S,T,D] ──► + position + slot + landmark map ──► blocks ──► final ──► [B,S,h,w,c]
    t, clip, landmarks ──► conditioning vector [B,S,D] ──────────────────────────────┴──────────┘
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from adiff_jax.models.attention import AUTO, KERNELS, attention
from adiff_jax.models.axes import BATCH, EMBED, HEADS, TOKENS
from adiff_jax.models.face_basis import face_coordinates, local_coordinates
from adiff_jax.models.layers import (
    MLP,
    Linear,
    layer_norm,
    modulate,
    sincos_1d,
    sincos_2d,
    stack_layers,
    timestep_embedding,
)
from adiff_jax.types import Conditioning

# Depth, width, heads. S to XL are DiT's; the two smaller ones are ours, for training on a CPU.
SIZES = {
    "XXS": (6, 160, 4),
    "XS": (8, 192, 3),
    "S": (12, 384, 6),
    "B": (12, 768, 12),
    "L": (24, 1024, 16),
    "XL": (28, 1152, 16),
}
ATTENTIONS = ("joint", "factorised")
TIME_FREQUENCIES = 256


@dataclasses.dataclass(frozen=True)
class SDiTConfig:
    """Options of `SDiT`; the defaults are sDiT-XL/2 on Stable Diffusion's latents of 256 x 256 pictures.

    Attributes:
        in_channels: channels of a latent, `c`.
        input_size: side of the latents that it is trained on; the model itself takes any multiple of `patch_size`.
        num_frames: frames of a sequence, `S`, that it is trained on; the model itself takes any number.
        patch_size: side of a patch, in latent positions.
        depth: number of blocks.
        width: `D`, a multiple of 4 and of `num_heads`.
        num_heads: attention heads.
        mlp_ratio: hidden width of a block's MLP over `width`.
        clip_dim: width of the CLIP embedding, `E`.
        attention: `joint`, every token sees all tokens of all frames, or `factorised`, it sees its own frame and its
            own position in the other frames. Both have the same parameters and are equal at S = 1.
        attention_kernel: what computes joint attention, one of `attention.KERNELS`; `auto` suits platform and shapes.
        landmark_map: add the landmarks to the tokens where they lie.
        landmark_map_sigma: radius of a landmark in that map, as a fraction of the picture's width.
        scan_layers: compile the blocks as one loop: quick to compile; False is quicker to run on a CPU.
        remat: recompute the blocks in the backward pass: less memory, a third more time.
        remat_policy: what is kept of them then, one of `layers.REMAT_POLICIES`.
        dtype: type of the computation; norms, their modulation, softmax and the last layer are float32 always.
        param_dtype: type of the parameters.
    """

    in_channels: int = 4
    input_size: int = 32
    num_frames: int = 4
    patch_size: int = 2
    depth: int = 28
    width: int = 1152
    num_heads: int = 16
    mlp_ratio: float = 4.0
    clip_dim: int = 768
    attention: str = "joint"
    attention_kernel: str = AUTO
    landmark_map: bool = True
    landmark_map_sigma: float = 0.1
    scan_layers: bool = True
    remat: bool = False
    remat_policy: str = "full"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        if self.width % 4 or self.width % self.num_heads:
            raise ValueError(f"width {self.width} must be a multiple of 4 and of num_heads {self.num_heads}")
        if self.attention not in ATTENTIONS:
            raise ValueError(f"attention {self.attention!r} is none of {', '.join(ATTENTIONS)}")
        if self.attention_kernel not in KERNELS:
            raise ValueError(f"attention_kernel {self.attention_kernel!r} is none of {', '.join(KERNELS)}")
        if self.attention != "joint" and self.attention_kernel != AUTO:
            raise ValueError(f"attention {self.attention!r} has a form of its own: attention_kernel must be {AUTO!r}")

    @classmethod
    def size(cls, name: str, **options: Any) -> "SDiTConfig":
        """The config of a size and patch, such as `XL/2`, with other options as given.

        Raises:
            ValueError: the name is not one of `SIZES`, a slash and a patch size.
        """
        size, _, patch = name.partition("/")
        if size not in SIZES or not patch.isdigit():
            raise ValueError(f"size {name!r} is not one of {', '.join(SIZES)} with a patch size, such as XL/2")
        depth, width, num_heads = SIZES[size]
        return cls(**{"patch_size": int(patch), "depth": depth, "width": width, "num_heads": num_heads} | options)


class SDiT(nn.Module):
    """The denoiser network. At initialisation its output is zero (adaLN-Zero)."""

    config: SDiTConfig

    @nn.compact
    def __call__(
        self, z_t: Float[Array, "B S h w c"], t: Float[Array, "B"], cond: Conditioning
    ) -> Float[Array, "B S h w c"]:
        """Predicts for the noisy latents `z_t` at diffusion times `t`, 0 <= t <= 999; see `types.Denoiser`.

        Raises:
            ValueError: the latent's height or width is not a multiple of `patch_size`.
        """
        config = self.config
        _, frames, height, width, channels = z_t.shape
        if height % config.patch_size or width % config.patch_size:
            raise ValueError(f"latent of {height} x {width}: both must be multiples of patch_size {config.patch_size}")
        grid = (height // config.patch_size, width // config.patch_size)

        x = patchify(z_t, config.patch_size)
        x = _linear(config, config.width, name="x_embedder")(x)
        x = x + jnp.asarray(sincos_2d(*grid, config.width), x.dtype)
        x = x + jnp.asarray(slot_encoding(frames, config.width), x.dtype)[:, None]
        if config.landmark_map:
            x = x + LandmarkMap(config, grid, name="landmark_map")(cond.landmarks, cond.landmarks_mask)
        c = ConditionEmbedder(config, name="condition")(t, cond)

        remat = {"remat": config.remat, "remat_policy": config.remat_policy}
        blocks = stack_layers(Block, config.depth, unroll=not config.scan_layers, **remat)
        x, _ = blocks(config, name="blocks")(_constrain(x), nn.silu(c))
        x = FinalLayer(config, config.patch_size**2 * channels, name="final_layer")(x, nn.silu(c))
        return unpatchify(x, config.patch_size, grid)


class ConditionEmbedder(nn.Module):
    """One vector a frame, [B, S, D] float32: the sum of what is known of time, person and landmarks."""

    config: SDiTConfig

    @nn.compact
    def __call__(self, t: Float[Array, "B"], cond: Conditioning) -> Float[Array, "B S D"]:
        config = self.config
        normal, zeros = nn.initializers.normal(0.02), nn.initializers.zeros_init()

        def embed(name, x, last_init):
            types = {"dtype": config.dtype, "param_dtype": config.param_dtype}
            layer = MLP(config.width, config.width, nn.silu, kernel_inits=(normal, last_init), name=name, **types)
            return layer(x).astype(jnp.float32)

        def null(name, init):
            init = nn.with_logical_partitioning(init, (EMBED,))
            return self.param(name, init, (config.width,), config.param_dtype).astype(jnp.float32)

        time = embed("t_embedder", timestep_embedding(t, TIME_FREQUENCIES), normal)
        clip = embed("clip_embedder", _given(cond.clip, cond.clip_mask), normal)
        clip = jnp.where(cond.clip_mask[:, None], clip, null("null_clip", normal))
        landmarks = _given(cond.landmarks, cond.landmarks_mask)
        flat = landmarks.reshape(*landmarks.shape[:2], -1).astype(jnp.float32)
        described = jnp.concatenate([flat, face_coordinates(landmarks)], axis=-1)
        landmarks = embed("landmark_embedder", described, zeros)
        landmarks = jnp.where(cond.landmarks_mask[:, None, None], landmarks, null("null_landmarks", zeros))
        return (time + clip)[:, None] + landmarks


class LandmarkMap(nn.Module):
    """Landmarks drawn as a map at token resolution, embedded linearly; zero at first (method section 3, ours).

    Of each landmark a token sees a heat exp(-d^2 / 2 sigma^2) of their distance d, and weighted by that heat the
    offsets in x and y, in units of sigma, and its place among its neighbours (`local_coordinates`): positions stay
    exact, however coarse the grid of tokens is, and gaze and lids are as loud as the whole head.
    """

    config: SDiTConfig
    grid: tuple[int, int]

    @nn.compact
    def __call__(self, landmarks: Float[Array, "B S K 2"], mask: Bool[Array, "B"]) -> Float[Array, "B S T D"]:
        config = self.config
        sigma = 2.0 * config.landmark_map_sigma  # of a picture that is 2 wide, from -1 to 1
        landmarks = _given(landmarks, mask).astype(jnp.float32)
        local_x, local_y = jnp.moveaxis(local_coordinates(landmarks)[:, :, None, None], -1, 0)

        def along(axis, tokens):
            centres = (2.0 * jnp.arange(tokens) + 1.0) / tokens - 1.0
            offset = (landmarks[:, :, None, :, axis] - centres[:, None]) / sigma
            return jnp.exp(-0.5 * jnp.square(offset)), offset

        # A Gaussian is the product of one over x and one over y: few exponentials.
        heat_x, offset_x = (value[:, :, None, :, :] for value in along(0, self.grid[1]))
        heat_y, offset_y = (value[:, :, :, None, :] for value in along(1, self.grid[0]))
        heat = heat_x * heat_y
        features = [heat, heat_x * offset_x * heat_y, heat_x * (heat_y * offset_y), heat * local_x, heat * local_y]
        features = jnp.concatenate([feature.astype(config.dtype) for feature in features], axis=-1)
        features = features.reshape(*features.shape[:2], self.grid[0] * self.grid[1], -1)
        x = _linear(config, config.width, kernel_init=nn.initializers.zeros_init(), name="proj")(features)
        return jnp.where(mask[:, None, None, None], x, 0)


class Block(nn.Module):
    """DiT block with adaLN-Zero; the vectors of a frame act on that frame's tokens."""

    config: SDiTConfig

    @nn.compact
    def __call__(self, x: Float[Array, "B S T D"], c: Float[Array, "B S D"]) -> tuple[Float[Array, "B S T D"], None]:
        config = self.config
        modulation = _modulation(config, 6)(c)
        shift_attn, scale_attn, gate_attn, shift_mlp, scale_mlp, gate_mlp = modulation

        y = modulate(layer_norm(x), shift_attn, scale_attn)
        y = Attention(config, name="attn")(y)
        x = _constrain(x + (gate_attn * y).astype(x.dtype))

        y = modulate(layer_norm(x), shift_mlp, scale_mlp)
        hidden = int(config.width * config.mlp_ratio)
        y = MLP(hidden, config.width, nn.gelu, dtype=config.dtype, param_dtype=config.param_dtype, name="mlp")(y)
        return _constrain(x + (gate_mlp * y).astype(x.dtype)), None


class Attention(nn.Module):
    """Multi-head self-attention over the tokens of a sequence."""

    config: SDiTConfig

    @nn.compact
    def __call__(self, x: Float[Array, "B S T D"]) -> Float[Array, "B S T D"]:
        config = self.config
        types = {"dtype": config.dtype, "param_dtype": config.param_dtype}
        head_dim = config.width // config.num_heads
        qkv = Linear((3, config.num_heads, head_dim), (EMBED, None, HEADS, None), name="qkv", **types)(x)
        qkv = nn.with_logical_constraint(qkv, (BATCH, None, None, None, HEADS, None))
        query, key, value = jnp.moveaxis(qkv, 3, 0)
        if config.attention == "joint":
            y = joint_attention(query, key, value, config.attention_kernel)
        else:
            y = factorised_attention(query, key, value)
        return Linear((config.width,), (HEADS, None, EMBED), name="proj", **types)(y)


class FinalLayer(nn.Module):
    """Modulated norm and a linear layer, zero at first, to the values of a patch; float32."""

    config: SDiTConfig
    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "B S T D"], c: Float[Array, "B S D"]) -> Float[Array, "B S T P"]:
        shift, scale = _modulation(self.config, 2)(c)
        x = modulate(layer_norm(x), shift, scale)
        init = nn.initializers.zeros_init()
        types = {"dtype": "float32", "param_dtype": self.config.param_dtype}
        return Linear((self.features,), (EMBED, None), kernel_init=init, name="linear", **types)(x)


def joint_attention(
    query: Float[Array, "B S T heads d"],
    key: Float[Array, "B S T heads d"],
    value: Float[Array, "B S T heads d"],
    kernel: str = AUTO,
) -> Float[Array, "B S T heads d"]:
    """Every token sees every token of every frame."""
    batch, frames, tokens, heads, dim = query.shape
    query, key, value = (x.reshape(batch, frames * tokens, heads, dim) for x in (query, key, value))
    return attention(query, key, value, kernel=kernel).reshape(batch, frames, tokens, heads, dim)


def factorised_attention(
    query: Float[Array, "B S T heads d"], key: Float[Array, "B S T heads d"], value: Float[Array, "B S T heads d"]
) -> Float[Array, "B S T heads d"]:
    """A token sees its frame's tokens and the other frames' tokens at its position, in one softmax over T + S - 1."""
    frames, tokens = query.shape[1:3]
    query = query * query.shape[-1] ** -0.5
    within = jnp.einsum("bsthd,bsuhd->bsthu", query, key, preferred_element_type=jnp.float32)
    across = jnp.einsum("bsthd,brthd->bsthr", query, key, preferred_element_type=jnp.float32)
    own_frame = jnp.eye(frames, dtype=bool)[:, None, None]
    logits = jnp.concatenate([within, jnp.where(own_frame, -jnp.inf, across)], axis=-1)
    weights = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
    y = jnp.einsum("bsthu,bsuhd->bsthd", weights[..., :tokens], value)
    return y + jnp.einsum("bsthr,brthd->bsthd", weights[..., tokens:], value)


def patchify(z: Float[Array, "B S h w c"], patch: int) -> Float[Array, "B S T P"]:
    """Tokens in row-major order; a token holds its patch as (row, column, channel)."""
    batch, frames, height, width, channels = z.shape
    z = z.reshape(batch, frames, height // patch, patch, width // patch, patch, channels)
    return z.transpose(0, 1, 2, 4, 3, 5, 6).reshape(batch, frames, -1, patch * patch * channels)


def unpatchify(x: Float[Array, "B S T P"], patch: int, grid: tuple[int, int]) -> Float[Array, "B S h w c"]:
    """Inverse of `patchify`, for tokens on a `grid` of (rows, columns)."""
    batch, frames = x.shape[:2]
    x = x.reshape(batch, frames, *grid, patch, patch, -1).transpose(0, 1, 2, 4, 3, 5, 6)
    return x.reshape(batch, frames, grid[0] * patch, grid[1] * patch, -1)


def slot_encoding(frames: int, dimension: int) -> Float[np.ndarray, "S D"]:
    """Fixed sin-cos encoding of the slots, relative to slot 0: the anchor's is zero, and one frame alone is DiT's."""
    encoding = sincos_1d(np.arange(frames), dimension)
    return encoding - encoding[:1]


def _given(values, mask):
    """Zero where nothing is given, so that not even a NaN there can reach a gradient."""
    return jnp.where(mask.reshape(-1, *(1,) * (values.ndim - 1)), values, 0)


def _linear(config, features, **options):
    return Linear((features,), (None, EMBED), dtype=config.dtype, param_dtype=config.param_dtype, **options)


def _modulation(config, count):
    """A layer, zero at first, that gives `count` vectors a frame, each [B, S, 1, D] float32."""
    layer = Linear(
        (count, config.width),
        (EMBED, None, None),
        kernel_init=nn.initializers.zeros_init(),
        dtype=config.dtype,
        param_dtype=config.param_dtype,
        name="adaln_modulation",
    )
    return lambda c: jnp.moveaxis(layer(c).astype(jnp.float32), 2, 0)[:, :, :, None]


def _constrain(x):
    return nn.with_logical_constraint(x, (BATCH, None, TOKENS, None))
