"""Shapes, laws and published sizes of CLIP."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.models.clip import CLIP, CLIPConfig, exact_gelu, quick_gelu

TINY = {
    "image_size": 8,
    "patch_size": 4,
    "vision_width": 16,
    "vision_depth": 2,
    "vision_heads": 2,
    "vocab_size": 20,
    "context_length": 6,
    "text_width": 12,
    "text_depth": 2,
    "text_heads": 3,
    "projection_dim": 5,
    "eos_token_id": 9,
}
PIXELS = jax.random.uniform(jax.random.key(1), (3, 8, 8, 3), minval=-1)
TOKENS = jnp.array([[1, 2, 9, 0, 0, 0], [1, 4, 5, 6, 7, 9], [1, 9, 9, 3, 19, 0]])


@functools.cache
def build(**options):
    """A model and random parameters."""
    model = CLIP(CLIPConfig(**TINY | options))
    shapes = nn.unbox(jax.eval_shape(model.init, jax.random.key(0), PIXELS, TOKENS))
    rng = np.random.default_rng(0)
    return model, jax.tree.map(lambda leaf: 0.2 * rng.standard_normal(leaf.shape, np.float32), shapes)


@functools.partial(jax.jit, static_argnums=(0,), static_argnames=("method",))
def apply(model, params, *inputs, method=None):
    return model.apply(params, *inputs, method=method)


def test_shapes_and_temperature():
    model, params = build()
    image, text, logit_scale = apply(model, params, PIXELS, TOKENS)
    assert image.shape == text.shape == (3, 5)
    assert logit_scale == params["params"]["logit_scale"]
    np.testing.assert_allclose(image, apply(model, params, PIXELS, method="encode_image"), atol=1e-5)  # rounding
    np.testing.assert_allclose(text, apply(model, params, TOKENS, method="encode_text"), atol=1e-5)


def test_initial_temperature():
    model = CLIP(CLIPConfig(**TINY))
    params = jax.jit(model.init)(jax.random.key(0), PIXELS, TOKENS)
    np.testing.assert_allclose(jnp.exp(params["params"]["logit_scale"]), 1 / 0.07, rtol=1e-4)  # OpenAI's


def test_text_is_read_at_its_first_end_token():
    model, params = build()
    encode = lambda tokens: apply(model, params, tokens, method="encode_text")  # noqa: E731
    embedding = encode(TOKENS)
    after_end = TOKENS.at[0, 3:].set(19).at[2, 3:].set(7)
    np.testing.assert_allclose(encode(after_end), embedding, atol=1e-6)  # causal: nothing after the end is seen
    np.testing.assert_allclose(encode(TOKENS[:1, :3]), embedding[:1], atol=1e-6)
    assert not jnp.allclose(encode(TOKENS.at[:, 0].set(8)), embedding, atol=1e-3)


def test_pixels_are_normalised_inside():
    model, params = build()
    grey = jnp.broadcast_to(2 * jnp.array([0.48145466, 0.4578275, 0.40821073]) - 1, (1, 8, 8, 3))
    zeroed = jax.tree.map(lambda leaf: leaf, params)
    kernel = zeroed["params"]["vision_model"]["patch_embedding"]["kernel"]
    zeroed["params"]["vision_model"]["patch_embedding"]["kernel"] = jnp.zeros_like(kernel)
    encode = lambda params: apply(model, params, grey, method="encode_image")  # noqa: E731
    np.testing.assert_allclose(encode(params), encode(zeroed), atol=1e-5)  # the mean colour is zero to the tower


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 427_616_513),  # openai/clip-vit-large-patch14
        (
            {
                "patch_size": 32,
                "vision_width": 768,
                "vision_depth": 12,
                "vision_heads": 12,
                "text_width": 512,
                "text_heads": 8,
                "projection_dim": 512,
            },
            151_277_313,  # openai/clip-vit-base-patch32
        ),
    ],
)
def test_published_sizes(options, parameters):
    model = CLIP(CLIPConfig(**options))
    inputs = jnp.zeros((1, 224, 224, 3)), jnp.zeros((1, 77), jnp.int32)
    params = jax.eval_shape(model.init, jax.random.key(0), *inputs)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == parameters


@pytest.mark.parametrize(
    "options",
    [
        {"scan_layers": False},
        {"remat": True},
        {"scan_layers": False, "remat": True},
        {"remat": True, "remat_policy": "products"},
    ],
)
def test_scan_and_remat_change_nothing(options):
    model, params = build()
    other = CLIP(CLIPConfig(**TINY | options))

    def gradient(model):
        def loss(params):
            image, text, _ = apply(model, params, PIXELS, TOKENS)
            return jnp.sum(image * text)

        return jax.jit(jax.value_and_grad(loss))(params)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), gradient(model), gradient(other))


def test_bfloat16_is_close():
    model, params = build()
    exact = apply(model, params, PIXELS, TOKENS)
    half = apply(CLIP(CLIPConfig(**TINY, dtype="bfloat16")), params, PIXELS, TOKENS)
    for a, b in zip(exact[:2], half[:2], strict=True):
        assert b.dtype == jnp.float32
        assert jnp.linalg.norm(a - b) < 2e-2 * jnp.linalg.norm(a)  # 8 bits of mantissa


def test_activations():
    x = jnp.array([-1.0, 0.0, 2.0])
    np.testing.assert_allclose(exact_gelu(x), [-0.158655, 0, 1.954500], atol=1e-5)
    np.testing.assert_allclose(quick_gelu(x), [-0.154206, 0, 1.935662], atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model, params: apply(model, params, PIXELS[:, :4], method="encode_image"), "resize"),
        (lambda model, params: apply(model, params, jnp.zeros((1, 7), int), method="encode_text"), "at most 6"),
    ],
)
def test_wrong_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(*build())


@pytest.mark.parametrize("options", [{"patch_size": 5}, {"text_heads": 5}, {"activation": "relu"}])
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options.keys())).split("_")[-1]):
        CLIPConfig(**TINY | options)
