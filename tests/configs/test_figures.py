"""The figures that the configs state are those of the models, computed here without running one."""

import dataclasses
import importlib

import jax
import jax.numpy as jnp
import pytest

from adiff_jax.models.autoencoder import AutoencoderConfig, AutoencoderKL
from adiff_jax.models.clip import CLIP, CLIPConfig
from adiff_jax.models.cost import count_flops, kept_bytes
from adiff_jax.models.sdit import SDiT, SDiTConfig
from adiff_jax.types import NUM_LANDMARKS, Conditioning
from adiff_jax.weights.bundle import abstract_params

FAMILIES = {"autoencoder": AutoencoderConfig, "clip": CLIPConfig, "sdit": SDiTConfig}
BYTES_OF_STATE = 5 * 4  # weights, their average, AdamW's two moments and the gradient, in float32
DEVICE_BYTES = 16e9
USED = 0.75  # of a device's memory

HEAD = "    variant   parameters  FLOPs a sample     state  kept a sample  batch  runs on"


def forward(model: object, size: int) -> tuple:
    """A function of parameters, and other arguments, of one sample's forward pass; pictures have `size` pixels."""
    array = jax.ShapeDtypeStruct
    match model:
        case AutoencoderConfig():
            return lambda params, x: AutoencoderKL(model).apply({"params": params}, x), array(
                (1, size, size, 3), "float32"
            )
        case CLIPConfig():
            pixels = array((1, model.image_size, model.image_size, 3), "float32")
            tokens = array((1, model.context_length), "int32")
            return lambda params, *pair: CLIP(model).apply({"params": params}, *pair), pixels, tokens
        case SDiTConfig():
            frames, side = model.num_frames, model.input_size
            landmarks = jnp.zeros((1, frames, NUM_LANDMARKS, 2))
            cond = jax.eval_shape(lambda: Conditioning.create(jnp.zeros((1, model.clip_dim)), landmarks))
            z = array((1, frames, side, side, model.in_channels), "float32")
            return lambda params, *args: SDiT(model).apply({"params": params}, *args), z, array((1,), "float32"), cond


def one_layer(model: object) -> object:
    """The model with one layer that keeps everything: what is at work where layers are recomputed."""
    depths = {field.name: 1 for field in dataclasses.fields(model) if field.name.endswith("depth")}
    return dataclasses.replace(model, **depths, remat=False)


def figures(family: str, variant: str) -> tuple[str, ...]:
    """A row of the table in the documentation of a config."""
    config = importlib.import_module(f"configs.{family}").get_config(variant)
    model = FAMILIES[family](**config.model)
    params = abstract_params(model)
    function, *args = forward(model, config.data.size)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
    flops = 3 * count_flops(function, params, *args)  # the backward pass has two products for each of the forward pass
    kept = kept_bytes(function, params, *args)
    at_work = 0
    if config.model.get("remat"):
        small = one_layer(model)
        function, *args = forward(small, config.data.size)
        at_work = kept_bytes(function, abstract_params(small), *args)
    state = BYTES_OF_STATE * parameters
    devices = 1
    while devices * USED * DEVICE_BYTES < state + config.batch_size * (kept + at_work):
        devices *= 2
    place = f"{devices} x 16 GB" if config.model.dtype == "bfloat16" else "2 CPU cores"
    numbers = (f"{parameters / 1e6:.2f}", f"{flops / 1e9:.1f}", f"{state / 1e9:.2f}", f"{kept / 1e6:.0f}")
    return variant, *numbers, str(config.batch_size), place


def layout(variant: str, millions: str, flops: str, state: str, kept: str, batch: str, place: str) -> str:
    return f"    {variant:9}{millions:>9} M{flops:>14} G{state:>7} GB{kept:>12} MB{batch:>7}  {place}"


@pytest.mark.parametrize("family", FAMILIES)
def test_figures(family: str) -> None:
    module = importlib.import_module(f"configs.{family}")
    rows = [figures(family, variant) for variant in module.VARIANTS]
    table = "\n".join([HEAD, *(layout(*row) for row in rows)])
    stated = {words[0]: words for line in module.__doc__.splitlines() if " GB " in line for words in [line.split()]}
    for variant, millions, flops, state, kept, batch, place in rows:
        message = f"the documentation of configs/{family}.py should have\n\n{table}\n"
        assert variant in stated, message
        found = stated[variant]
        assert (found[1], found[5], found[9], " ".join(found[10:])) == (millions, state, batch, place), message
        assert float(found[3]) == pytest.approx(float(flops), rel=0.02), message
        assert float(found[7]) == pytest.approx(float(kept), rel=0.2), message  # another JAX may keep a little more
