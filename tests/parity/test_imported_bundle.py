"""Published models, imported by the command line, become a bundle and the beginning of training runs."""

import contextlib
import dataclasses
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch, with the extra `import`, makes the published models")
pytest.importorskip("diffusers", reason="diffusers, with the extra `import`, makes the published models")

import diffusers
import torch
import torch_reference as reference
import transformers

from adiff_jax.app.cli import main
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
from adiff_jax.data.captions import train_tokenizer
from adiff_jax.models.autoencoder import AutoencoderConfig
from adiff_jax.models.clip import CLIPConfig
from adiff_jax.models.sdit import SDiTConfig
from adiff_jax.train.loop import train
from adiff_jax.weights.bundle import Bundle, load_component
from configs import autoencoder, clip, sdit

FAMILIES = {
    "autoencoder": (autoencoder, "sd", AutoencoderConfig),
    "clip": (clip, "b32", CLIPConfig),
    "sdit": (sdit, "xl", SDiTConfig),
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three models, published small and imported."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    reference.randomise(
        diffusers.AutoencoderKL(
            block_out_channels=[8, 16],
            norm_num_groups=4,
            down_block_types=["DownEncoderBlock2D"] * 2,
            up_block_types=["UpDecoderBlock2D"] * 2,
        )
    ).save_pretrained(folder / "vae")

    tokenizer = train_tokenizer(["a face"], folder / "clip", vocab_size=514)
    tower = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = tower | {"vocab_size": 514, "max_position_embeddings": 16, "eos_token_id": tokenizer.get_vocab_size() - 1}
    vision = tower | {"image_size": 16, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    reference.randomise(transformers.CLIPModel(config)).save_pretrained(folder / "clip")

    dit = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, out_channels=8, num_layers=1, sample_size=16
    )
    reference.randomise(dit).save_pretrained(folder / "dit")

    for command in (
        ["autoencoder", folder / "vae", folder / "imported"],
        ["clip", folder / "clip", folder / "imported"],
        ["dit", folder / "dit", folder / "imported", "--clip-dim", "8", "--num-frames", "3"],
    ):
        with contextlib.redirect_stdout(None):
            assert main(["import", *map(str, command)]) == 0
    for name in ("vae", "clip", "dit"):
        shutil.rmtree(folder / name)  # nothing of what follows needs them
    return folder / "imported"


def test_a_bundle(imported: Path, tmp_path: Path) -> None:
    (tmp_path / "CARD.md").write_text("# of published models\n")
    command = ["bundle", "--out", tmp_path / "mine", "--card", tmp_path / "CARD.md", "--dtype", "float32"]
    for part in ("sdit", "autoencoder", "clip"):
        command += [f"--{part}", imported]
    with contextlib.redirect_stdout(None):
        assert main(list(map(str, command))) == 0
    bundle = Bundle.load(tmp_path / "mine")
    for family, (_, _, config_class) in FAMILIES.items():
        config, params = load_component(imported / family, config_class)
        assert getattr(bundle, family) == config
        jax.tree.map(np.testing.assert_array_equal, getattr(bundle, f"{family}_params"), params)
    assert (bundle.scheduler.schedule, bundle.scheduler.prediction) == ("linear", "epsilon")

    options = {"num_inference_steps": 2, "guidance_clip": 1.0, "guidance_landmarks": 1.0}
    pipeline = AnchoredDiffusionPipeline(bundle)
    video = np.stack([*pipeline.reenact("synthetic:7", "synthetic:1", max_frames=4, **options)])
    assert video.shape == (4, 32, 32, 3)
    assert video.std() > 1


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_run_begins_with_it(imported: Path, tmp_path: Path, family: str) -> None:
    module, variant, config_class = FAMILIES[family]
    published, params = load_component(imported / family, config_class)
    config = module.get_config(f"{variant},tiny")
    options = dataclasses.asdict(published) | {name: config.model[name] for name in ("dtype", "param_dtype")}
    config.model.update(options)
    config.steps = 1
    config.optimizer.learning_rate = 0.0
    config.init_from = str(imported / family)
    if family == "sdit":
        config.autoencoder, config.clip = str(imported / "autoencoder"), str(imported / "clip")
    if family == "clip":
        config.tokenizer = str(imported / "tokenizer")
    assert train(config, tmp_path)
    _, trained = load_component(tmp_path / "export" / family, config_class)
    jax.tree.map(np.testing.assert_array_equal, trained, params)
