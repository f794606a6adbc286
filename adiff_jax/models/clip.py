"""CLIP (Radford et al. 2021, arXiv 2103.00020): a picture tower and a text tower with a common embedding space.

The graph is OpenAI's; parameters have the names of Hugging Face's `CLIPModel`, with the layers of a tower stacked along
a leading axis (`vision_model.encoder.layers.3.mlp.fc1` is element 3 of `vision_model/layers/mlp/fc1`).
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from adiff_jax.models.attention import attention
from adiff_jax.models.axes import BATCH, EMBED, HEADS
from adiff_jax.models.layers import MLP, Linear, stack_layers

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
INITIAL_LOGIT_SCALE = 2.6592  # log(1 / 0.07)
NORM_EPSILON = 1e-5


def quick_gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """OpenAI's approximation of the Gaussian error linear unit."""
    return x * jax.nn.sigmoid(1.702 * x)


def exact_gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The Gaussian error linear unit by the error function."""
    return jax.nn.gelu(x, approximate=False)


ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": exact_gelu}


@dataclasses.dataclass(frozen=True)
class CLIPConfig:
    """Options of `CLIP`; the defaults are OpenAI's ViT-L/14 (427.6 M parameters).

    Attributes:
        image_size: side of the square pictures, in pixels.
        patch_size: side of a patch, in pixels.
        vision_width: width of the picture tower.
        vision_depth: its layers.
        vision_heads: its attention heads.
        vocab_size: number of text tokens.
        context_length: length of a tokenised text, `L`.
        text_width: width of the text tower.
        text_depth: its layers.
        text_heads: its attention heads.
        projection_dim: width of the common embedding, `E`.
        activation: `quick_gelu` (OpenAI's weights) or `gelu` (exact).
        eos_token_id: token whose position gives a text's embedding.
        scan_layers: compile the layers as one loop: quick to compile; False is quicker to run on a CPU.
        remat: recompute the layers in the backward pass: less memory, a third more time.
        remat_policy: what is kept of them then, one of `layers.REMAT_POLICIES`.
        dtype: type of the computation; norms and softmax are float32 always.
        param_dtype: type of the parameters.
    """

    image_size: int = 224
    patch_size: int = 14
    vision_width: int = 1024
    vision_depth: int = 24
    vision_heads: int = 16
    vocab_size: int = 49408
    context_length: int = 77
    text_width: int = 768
    text_depth: int = 12
    text_heads: int = 12
    projection_dim: int = 768
    activation: str = "quick_gelu"
    eos_token_id: int = 49407
    scan_layers: bool = True
    remat: bool = False
    remat_policy: str = "full"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} must be a multiple of patch_size {self.patch_size}")
        if self.vision_width % self.vision_heads or self.text_width % self.text_heads:
            raise ValueError("each tower's width must be a multiple of its heads")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation {self.activation!r} is none of {', '.join(ACTIVATIONS)}")


class CLIP(nn.Module):
    """Both towers, their projections and the temperature."""

    config: CLIPConfig

    def setup(self):
        config = self.config
        self.vision_model = VisionModel(config)
        self.text_model = TextModel(config)
        self.visual_projection = _projection(config, config.vision_width)
        self.text_projection = _projection(config, config.text_width)
        self.logit_scale = self.param(
            "logit_scale", nn.initializers.constant(INITIAL_LOGIT_SCALE), (), config.param_dtype
        )

    def __call__(
        self, pixels: Float[Array, "B H W 3"], tokens: Int[Array, "B L"]
    ) -> tuple[Float[Array, "B E"], Float[Array, "B E"], Float[Array, ""]]:
        """Embeddings of pictures and of texts, not normalised, and the logarithm of the logits' scale."""
        return self.encode_image(pixels), self.encode_text(tokens), self.logit_scale

    def encode_image(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B E"]:
        """Embeddings, float32 and not normalised, of RGB pictures in [-1, 1].

        Raises:
            ValueError: the pictures do not measure `image_size` x `image_size`.
        """
        size = self.config.image_size
        if pixels.shape[1:] != (size, size, 3):
            raise ValueError(f"pictures of shape {pixels.shape[1:]}: CLIP takes {(size, size, 3)}, resize them first")
        return self.visual_projection(self.vision_model(pixels)).astype(jnp.float32)

    def encode_text(self, tokens: Int[Array, "B L"]) -> Float[Array, "B E"]:
        """Embeddings, float32 and not normalised, of tokenised texts, read at their first end-of-text token.

        Raises:
            ValueError: the texts are longer than `context_length`.
        """
        if tokens.shape[1] > self.config.context_length:
            raise ValueError(f"texts of {tokens.shape[1]} tokens: CLIP takes at most {self.config.context_length}")
        return self.text_projection(self.text_model(tokens)).astype(jnp.float32)


class VisionModel(nn.Module):
    """Vision transformer with a class token, whose normed output is returned, [B, D]."""

    config: CLIPConfig

    @nn.compact
    def __call__(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B D"]:
        config = self.config
        width, patch = config.vision_width, config.patch_size
        side = config.image_size // patch
        pixels = ((pixels + 1) / 2 - jnp.asarray(PIXEL_MEAN)) / jnp.asarray(PIXEL_STD)
        patches = pixels.reshape(-1, side, patch, side, patch, 3).transpose(0, 1, 3, 2, 4, 5)
        patches = patches.reshape(-1, side * side, patch * patch * 3)

        embedding = nn.initializers.normal(0.02)
        x = Linear(
            (width,), (None, EMBED), use_bias=False, kernel_init=embedding, name="patch_embedding", **_types(config)
        )(patches)
        class_init = nn.with_logical_partitioning(nn.initializers.normal(width**-0.5), (EMBED,))
        class_token = self.param("class_embedding", class_init, (width,), config.param_dtype)
        class_token = jnp.broadcast_to(class_token, (x.shape[0], 1, width)).astype(x.dtype)
        x = jnp.concatenate([class_token, x], axis=1) + _positions(self, side * side + 1, width, embedding)
        x = _norm(config, "pre_layernorm")(x).astype(config.dtype)

        remat = {"remat": config.remat, "remat_policy": config.remat_policy}
        layers = stack_layers(Layer, config.vision_depth, unroll=not config.scan_layers, **remat)
        x, _ = layers(config, width, config.vision_heads, config.vision_depth, name="layers")(x, None)
        return _norm(config, "post_layernorm")(x[:, 0])


class TextModel(nn.Module):
    """Causal transformer whose normed output at the first end-of-text token is returned, [B, D].

    Padding after that token changes nothing: it is not seen.
    """

    config: CLIPConfig

    @nn.compact
    def __call__(self, tokens: Int[Array, "B L"]) -> Float[Array, "B D"]:
        config = self.config
        length, width = tokens.shape[1], config.text_width
        init = nn.with_logical_partitioning(nn.initializers.normal(0.02), (None, EMBED))
        table = self.param("token_embedding", init, (config.vocab_size, width), config.param_dtype)
        positions = _positions(self, config.context_length, width, nn.initializers.normal(0.01))
        x = table[tokens].astype(config.dtype) + positions[:length]

        causal = jnp.tril(jnp.ones((length, length), dtype=bool))
        remat = {"remat": config.remat, "remat_policy": config.remat_policy}
        layers = stack_layers(Layer, config.text_depth, unroll=not config.scan_layers, **remat)
        x, _ = layers(config, width, config.text_heads, config.text_depth, name="layers")(x, causal)
        end = jnp.argmax(tokens == config.eos_token_id, axis=1)
        return _norm(config, "final_layer_norm")(jnp.take_along_axis(x, end[:, None, None], axis=1)[:, 0])


class Layer(nn.Module):
    """Pre-norm transformer layer, initialised as OpenAI's."""

    config: CLIPConfig
    width: int
    heads: int
    depth: int

    @nn.compact
    def __call__(self, x: Float[Array, "B N D"], mask: Bool[Array, "N N"] | None) -> tuple[Float[Array, "B N D"], None]:
        config = self.config
        output_init = nn.initializers.normal((2 * self.depth * self.width) ** -0.5)
        y = _norm(config, "layer_norm1")(x)
        x = x + SelfAttention(config, self.width, self.heads, output_init, name="self_attn")(y, mask)
        x = nn.with_logical_constraint(x, (BATCH, None, None))
        y = _norm(config, "layer_norm2")(x)
        inits = (nn.initializers.normal((2 * self.width) ** -0.5), output_init)
        activation = ACTIVATIONS[config.activation]
        y = MLP(4 * self.width, self.width, activation, kernel_inits=inits, name="mlp", **_types(config))(y)
        return nn.with_logical_constraint(x + y, (BATCH, None, None)), None


class SelfAttention(nn.Module):
    """Multi-head self-attention."""

    config: CLIPConfig
    width: int
    heads: int
    output_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: Float[Array, "B N D"], mask: Bool[Array, "N N"] | None) -> Float[Array, "B N D"]:
        features = (self.heads, self.width // self.heads)
        init = nn.initializers.normal(self.width**-0.5)

        def project(name):
            layer = Linear(features, (EMBED, HEADS, None), kernel_init=init, name=name, **_types(self.config))
            return nn.with_logical_constraint(layer(x), (BATCH, None, HEADS, None))

        y = attention(project("q_proj"), project("k_proj"), project("v_proj"), mask)
        axes = (HEADS, None, EMBED)
        return Linear((self.width,), axes, kernel_init=self.output_init, name="out_proj", **_types(self.config))(y)


def _types(config):
    return {"dtype": config.dtype, "param_dtype": config.param_dtype}


def _positions(module, length, width, init):
    init = nn.with_logical_partitioning(init, (None, EMBED))
    positions = module.param("position_embedding", init, (length, width), module.config.param_dtype)
    return positions.astype(module.config.dtype)


def _projection(config, width):
    init = nn.initializers.normal(width**-0.5)
    return Linear((config.projection_dim,), (EMBED, None), use_bias=False, kernel_init=init, **_types(config))


def _norm(config, name):
    """Layer norm in float32; the layer after it brings its input back to `config.dtype`."""
    return nn.LayerNorm(NORM_EPSILON, dtype="float32", param_dtype=config.param_dtype, name=name)
