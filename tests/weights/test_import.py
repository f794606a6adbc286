"""Imports name what does not fit, drop nothing in silence, and need no PyTorch for safetensors."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file
from tiny import random_params

from adiff_jax.app.cli import main
from adiff_jax.models.autoencoder import AutoencoderConfig
from adiff_jax.models.clip import CLIPConfig
from adiff_jax.models.sdit import SDiTConfig
from adiff_jax.weights.bundle import load_component
from adiff_jax.weights.import_autoencoder import autoencoder_config, import_autoencoder
from adiff_jax.weights.import_clip import clip_config, clip_params, import_clip
from adiff_jax.weights.import_dit import import_dit, options_of_diffusers
from adiff_jax.weights.keymaps import AUTOENCODER, CLIP, DIT, published_name
from adiff_jax.weights.tensors import WeightsError

CONFIG = AutoencoderConfig(block_out_channels=(8, 12), layers_per_block=1, norm_num_groups=4)
OPTIONS = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [8, 12],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "latent_channels": 4,
    "sample_size": 512,
}


def published_tensors(params: dict) -> dict[str, np.ndarray]:
    """An autoencoder's parameters as diffusers has them."""
    tensors = {}
    for path, value in flatten_dict(params, sep="/").items():
        name = published_name(path, AUTOENCODER)
        if path.endswith("/kernel"):
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
            if any(part in name for part in ("quant_conv", "conv_shortcut")):
                value = value[:, :, None, None]
        tensors[name] = np.ascontiguousarray(value)
    return tensors


def publish(folder: Path, tensors: dict[str, np.ndarray], options: dict = OPTIONS) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors")
    (folder / "config.json").write_text(json.dumps(options))
    return folder


@pytest.fixture
def params() -> dict:
    return random_params(CONFIG)


def assert_imported(component: Path, params: dict) -> None:
    config, loaded = load_component(component, AutoencoderConfig)
    assert config == CONFIG
    expected = flatten_dict(params)
    assert flatten_dict(loaded).keys() == expected.keys()
    for path, value in flatten_dict(loaded).items():
        np.testing.assert_array_equal(value, expected[path])


OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.mark.parametrize("attention", ["new", "old", "convolution"])
def test_an_autoencoder_whatever_its_age(tmp_path: Path, params: dict, attention: str) -> None:
    tensors = published_tensors(params)
    for name in [name for name in tensors if "attentions" in name]:
        value = tensors.pop(name)
        for new, old in OLD.items():
            name = name.replace(new, old) if attention != "new" else name
        convolution = attention == "convolution" and value.ndim == 2
        tensors[name] = value[:, :, None, None] if convolution else value
    assert_imported(import_autoencoder(publish(tmp_path / "vae", tensors), tmp_path), params)


def test_a_pipelines_folder_and_the_command_line(tmp_path: Path, params: dict, capsys: pytest.CaptureFixture) -> None:
    publish(tmp_path / "vae", published_tensors(params))
    command = ["import", "autoencoder", str(tmp_path), str(tmp_path / "out")]
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out/autoencoder")
    assert_imported(tmp_path / "out/autoencoder", params)
    assert main(command) == 2
    assert "autoencoder exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.pop("decoder.up_blocks.0.upsamplers.0.conv.weight"),
            r"missing tensor decoder\.up_blocks\.0\.upsamplers\.0\.conv\.weight",
        ),
        (lambda t: t.update({"encoder.extra": np.zeros(1, np.float32)}), r"no place for tensor encoder\.extra"),
        (
            lambda t: t.update({"encoder.conv_in.weight": np.zeros((3, 8, 3, 3), np.float32)}),
            r"encoder\.conv_in\.weight has shape \(3, 8, 3, 3\), the model needs \(8, 3, 3, 3\)",
        ),
        (
            lambda t: t.update({"encoder.down_blocks.1.resnets.0.conv_shortcut.weight": np.zeros((8, 12, 1, 1))}),
            r"conv_shortcut\.weight has shape \(8, 12, 1, 1\), the model needs \(12, 8\)",
        ),
        (
            lambda t: t.update({"encoder.mid_block.attentions.0.query.bias": np.zeros(12, np.float32)}),
            "there a second time",
        ),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(tmp_path: Path, params: dict, change, message: str) -> None:
    tensors = published_tensors(params)
    change(tensors)
    with pytest.raises(WeightsError, match=message):
        import_autoencoder(publish(tmp_path / "vae", tensors), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (autoencoder_config, {"_class_name": "AutoencoderTiny"}, "_class_name is 'AutoencoderTiny'"),
        (autoencoder_config, {"act_fn": "relu"}, "act_fn is 'relu'"),
        (autoencoder_config, {"out_channels": 4}, "out_channels is 4, the model has 3"),
        (autoencoder_config, {"down_block_types": ["AttnDownEncoderBlock2D"]}, "down_block_types"),
        (autoencoder_config, {"norm_num_groups": 7}, "norm_num_groups 7"),
        (autoencoder_config, {"latents_mean": [0.0] * 4}, "latents_mean and latents_std go together"),
        (clip_config, {"model_type": "siglip"}, "model_type is 'siglip'"),
        (clip_config, {"vision_config": {"num_channels": 4}}, "num_channels is 4"),
        (clip_config, {"text_config": {"intermediate_size": 100}}, "intermediate_size is 100, the model has 2048"),
        (clip_config, {"vision_config": {"hidden_act": "gelu"}}, "hidden_act is 'gelu', the model has 'quick_gelu'"),
        (clip_config, {"vision_config": {"patch_size": 15}}, "patch_size 15"),
        (options_of_diffusers, {"norm_type": "layer_norm"}, "norm_type is 'layer_norm'"),
        (options_of_diffusers, {"activation_fn": "geglu"}, "activation_fn is 'geglu'"),
    ],
)
def test_another_graph_is_refused(config, options: dict, message: str) -> None:
    with pytest.raises(WeightsError, match=f"somewhere: .*{message}"):
        config(options, "somewhere")


def test_published_configs() -> None:
    """As on the hub: files leave out what had a default when they were written."""
    assert autoencoder_config(OPTIONS, "") == CONFIG
    stable_diffusion = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2}
    assert autoencoder_config(stable_diffusion, "") == AutoencoderConfig()
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "eos_token_id": 2}
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24}
    large = {"text_config": text, "vision_config": vision | {"patch_size": 14}, "projection_dim": 768}
    assert clip_config(large, "") == CLIPConfig()
    old = {"text_config": None, "text_config_dict": text, "vision_config_dict": vision | {"patch_size": 14}}
    assert clip_config(old | {"projection_dim": 768}, "") == CLIPConfig()
    assert SDiTConfig(**options_of_diffusers({"_class_name": "Transformer2DModel"}, "")) == SDiTConfig.size("XL/2")


def test_known_buffers_are_dropped_and_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "adiff_jax")
    with pytest.raises(WeightsError, match="missing"):
        clip_params({"text_model.embeddings.position_ids": np.arange(77)[None]}, CLIPConfig(), "somewhere")
    assert "somewhere: dropped text_model.embeddings.position_ids" in caplog.text


def test_a_clip_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"has no vocab\.json"):
        import_clip(tmp_path, tmp_path / "out")


def test_a_file_that_is_no_dit_is_refused(tmp_path: Path, params: dict) -> None:
    save_file(published_tensors(params), tmp_path / "vae.safetensors")
    with pytest.raises(WeightsError, match=r"no tensor x_embedder\.proj\.weight with 4 axes"):
        import_dit(tmp_path / "vae.safetensors", tmp_path / "out")


@pytest.mark.parametrize(
    ("path", "rules", "name"),
    [
        ("decoder/up_blocks_0/upsamplers_0_conv/bias", AUTOENCODER, "decoder.up_blocks.0.upsamplers.0.conv.bias"),
        (
            "encoder/mid_block/attentions_0/to_out_0/kernel",
            AUTOENCODER,
            "encoder.mid_block.attentions.0.to_out.0.weight",
        ),
        ("vision_model/pre_layernorm/scale", CLIP, "vision_model.pre_layrnorm.weight"),
        ("text_model/token_embedding", CLIP, "text_model.embeddings.token_embedding.weight"),
        ("text_model/layers/mlp/fc1/kernel", CLIP, "text_model.encoder.layers.*.mlp.fc1.weight"),
        ("logit_scale", CLIP, "logit_scale"),
        ("blocks/adaln_modulation/bias", DIT, "blocks.*.adaLN_modulation.1.bias"),
    ],
)
def test_names(path: str, rules, name: str) -> None:
    assert published_name(path, rules) == name


def test_safetensors_need_no_torch(tmp_path: Path, params: dict) -> None:
    publish(tmp_path / "vae", published_tensors(params))
    for name in ("torch", "diffusers"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is not here')")
    program = (
        "import sys, adiff_jax.weights.import_clip, adiff_jax.weights.import_dit\n"
        "from adiff_jax.app.cli import main\n"
        "sys.exit(main(['import', 'autoencoder', *sys.argv[1:]]))"
    )
    command = ["-c", program, str(tmp_path), str(tmp_path / "out")]
    python_path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run([sys.executable, *command], check=True, env=os.environ | {"PYTHONPATH": python_path})
    assert_imported(tmp_path / "out/autoencoder", params)
