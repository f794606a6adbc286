"""Our models beside those of diffusers and transformers, of the same shape and with random weights.

There is no reference of sDiT: S = 4 frames of 256 tokens are set beside DiT with one picture of 1,024 tokens, which is
the same work.
"""

import functools
from collections.abc import Callable

import diffusers
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import transformers

from adiff_jax.models.autoencoder import AutoencoderConfig, AutoencoderKL
from adiff_jax.models.clip import CLIP, CLIPConfig
from adiff_jax.models.cost import count_flops
from adiff_jax.models.sdit import SIZES, SDiT, SDiTConfig
from adiff_jax.types import NUM_LANDMARKS, Conditioning
from adiff_jax.weights.bundle import abstract_params
from launch.bench.timing import Pair

PIXELS = 256
LEARNING_RATE = 1e-4

Params = dict[str, object]


def sdit(size: str, train: bool) -> Pair:
    """The transformer on 4 frames of 32 x 32 x 4 latents, patches of 2 x 2; batch 1."""
    config = SDiTConfig.size(f"{size}/2", scan_layers=False)
    depth, width, heads = SIZES[size]
    theirs = diffusers.DiTTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=width // heads,
        num_layers=depth,
        in_channels=config.in_channels,
        out_channels=config.in_channels,
        sample_size=2 * config.input_size,
    )
    z_t = jnp.ones((1, config.num_frames, config.input_size, config.input_size, config.in_channels))
    cond = Conditioning.create(jnp.ones((1, config.clip_dim)), jnp.zeros((1, config.num_frames, NUM_LANDMARKS, 2)))
    model, t = SDiT(config), jnp.ones(1)
    forward = functools.partial(_call, model, z_t=z_t, t=t, cond=cond)
    latent = torch.ones(1, config.in_channels, 2 * config.input_size, 2 * config.input_size)
    inputs = {"timestep": torch.ones(1), "class_labels": torch.zeros(1, dtype=torch.long)}
    return _pair(forward, random_params(config), theirs, lambda: theirs(latent, **inputs).sample, train)


def encode() -> Pair:
    """Stable Diffusion's encoder, one picture."""
    return _autoencoder("encode", (1, PIXELS, PIXELS, 3), lambda model, x: model.encode(x).latent_dist.parameters)


def decode() -> Pair:
    """Stable Diffusion's decoder, one picture."""
    return _autoencoder("decode", (1, PIXELS // 8, PIXELS // 8, 4), lambda model, z: model.decode(z).sample)


def clip_image() -> Pair:
    """ViT-L/14 on one picture of 224 x 224."""
    config = CLIPConfig(scan_layers=False)
    side = config.image_size
    theirs = transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(
            hidden_size=config.vision_width,
            intermediate_size=4 * config.vision_width,
            num_hidden_layers=config.vision_depth,
            num_attention_heads=config.vision_heads,
            patch_size=config.patch_size,
            image_size=side,
            projection_dim=config.projection_dim,
        )
    )
    model, image = CLIP(config), jnp.ones((1, side, side, 3))
    forward = functools.partial(_call, model, image, method="encode_image")
    pixels = torch.ones(1, 3, side, side)
    call = lambda: theirs(pixel_values=pixels).image_embeds  # noqa: E731
    return _pair(forward, random_params(config), theirs, call, train=False)


CASES: dict[str, Callable[[], Pair]] = {
    "sDiT-S/2, forward": functools.partial(sdit, "S", train=False),
    "sDiT-S/2, training step": functools.partial(sdit, "S", train=True),
    "sDiT-B/2, forward": functools.partial(sdit, "B", train=False),
    "sDiT-B/2, training step": functools.partial(sdit, "B", train=True),
    f"autoencoder, encode {PIXELS} x {PIXELS}": encode,
    f"autoencoder, decode {PIXELS} x {PIXELS}": decode,
    "CLIP ViT-L/14, image": clip_image,
}


def random_params(config: object) -> Params:
    """Small weights of a model, made quicker than its initialisation is compiled."""
    rng = np.random.default_rng(0)
    weights = jax.tree.map(lambda leaf: 0.04 * (rng.random(leaf.shape, np.float32) - 0.5), abstract_params(config))
    return {"params": jax.device_put(weights)}


def _autoencoder(method: str, shape: tuple[int, ...], call: Callable) -> Pair:
    config = AutoencoderConfig()
    widths = config.block_out_channels
    theirs = diffusers.AutoencoderKL(
        block_out_channels=widths,
        layers_per_block=config.layers_per_block,
        latent_channels=config.latent_channels,
        down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths),
    )
    model, x = AutoencoderKL(config), jnp.ones(shape)
    forward = functools.partial(_call, model, x, method=method)
    pixels = torch.ones(shape).movedim(-1, 1)
    return _pair(forward, random_params(config), theirs, lambda: call(theirs, pixels), train=False)


def _call(model, *inputs, params: Params, **options):
    return model.apply(params, *inputs, **options)


def _pair(forward: Callable, params: Params, module: torch.nn.Module, call: Callable, train: bool) -> Pair:
    """Both sides of a forward pass, or of a step of AdamW on the mean square of the output."""
    flops = count_flops(lambda params: forward(params=params), params)
    ours = _our_step(forward, params) if train else _our_forward(forward, params)
    theirs = _their_step(module, call) if train else torch.no_grad()(call)
    return Pair(ours, theirs, 3 * flops if train else flops)


def _our_forward(forward: Callable, params: Params) -> Callable[[], object]:
    compiled = jax.jit(lambda params: forward(params=params))
    return lambda: jax.block_until_ready(compiled(params))


def _our_step(forward: Callable, params: Params) -> Callable[[], object]:
    optimizer = optax.adamw(LEARNING_RATE)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, opt_state):
        grads = jax.grad(lambda params: jnp.mean(jnp.square(forward(params=params))))(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    state = (params, optimizer.init(params))

    def run():
        nonlocal state
        state = jax.block_until_ready(step(*state))

    return run


def _their_step(module: torch.nn.Module, call: Callable) -> Callable[[], object]:
    optimizer = torch.optim.AdamW(module.parameters(), LEARNING_RATE)

    def run():
        optimizer.zero_grad()
        call().square().mean().backward()
        optimizer.step()

    return run
