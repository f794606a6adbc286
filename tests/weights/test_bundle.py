"""A bundle comes back as it was saved, is never half there, and says what does not fit."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import random_params, tiny_bundle

from adiff_jax.models.autoencoder import AutoencoderConfig
from adiff_jax.weights.bundle import Bundle, abstract_params, find_bundle, load_component, save_component
from adiff_jax.weights.tensors import WeightsError, load_tensors, save_tensors


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("tiny"))


def assert_equal(a: dict, b: dict, dtype: str = "float32") -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, np.asarray(y).astype(dtype)), a, b)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_round_trip(tmp_path: Path, bundle: Bundle, dtype: str) -> None:
    path = tmp_path / "saved"
    bundle.save(path, dtype)
    loaded = Bundle.load(path)
    for field in dataclasses.fields(Bundle):
        before, after = getattr(bundle, field.name), getattr(loaded, field.name)
        if field.name.endswith("_params"):
            assert_equal(after, before, dtype)
        elif field.name == "tokenizer":
            names = sorted(entry.name for entry in before.iterdir())
            assert after == path / "tokenizer"
            assert sorted(entry.name for entry in after.iterdir()) == names
        else:
            assert after == before
    assert loaded.process.prediction == bundle.scheduler.prediction


def test_saving_never_overwrites_and_leaves_nothing_behind(tmp_path: Path, bundle: Bundle) -> None:
    bundle.save(tmp_path / "saved")
    with pytest.raises(WeightsError, match="saved exists"):
        bundle.save(tmp_path / "saved")
    broken = dataclasses.replace(bundle, sdit_params=jax.tree.map(lambda x: x * np.nan, bundle.sdit_params))
    with pytest.raises(WeightsError, match="not finite"):
        broken.save(tmp_path / "broken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved"]


def test_assembling_takes_each_part_from_its_folder(tmp_path: Path, bundle: Bundle) -> None:
    bundle.save(tmp_path / "one")
    other = dataclasses.replace(bundle, sdit_params=random_params(bundle.sdit, seed=1))
    other.save(tmp_path / "other")
    folders = {"sdit": tmp_path / "other", "autoencoder": tmp_path / "one", "clip": tmp_path / "one"}
    assembled = Bundle.assemble("new", **folders, card="# new")
    assert_equal(assembled.sdit_params, other.sdit_params)
    assert_equal(assembled.clip_params, bundle.clip_params)
    assert (assembled.name, assembled.card) == ("new", "# new")


def test_parts_that_do_not_fit_are_refused(tmp_path: Path, bundle: Bundle) -> None:
    sdit = dataclasses.replace(bundle.sdit, in_channels=5)
    dataclasses.replace(bundle, sdit=sdit, sdit_params=random_params(sdit)).save(tmp_path / "saved")
    with pytest.raises(WeightsError, match="in_channels is 5, but latent channels 4"):
        Bundle.load(tmp_path / "saved")


def test_an_absent_bundle_is_named() -> None:
    with pytest.raises(WeightsError, match="no bundle at nowhere"):
        find_bundle("nowhere")


def test_a_bundle_of_the_hub(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bundle.save(tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda repo_id, **options: str(tmp_path / "cache"))
    with caplog.at_level("INFO", "adiff_jax"):
        assert find_bundle("owner/name") == tmp_path / "cache"
    assert "downloading it from the Hugging Face hub" in caplog.text
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner/name").mkdir(parents=True)
    with pytest.raises(WeightsError, match="no bundle at owner/name"):  # a folder of that name is what is meant
        find_bundle("owner/name")


@pytest.mark.parametrize(
    "part", ["model_index.json", "sdit/config.json", "clip/model.safetensors", "scheduler/config.json", "README.md"]
)
def test_a_missing_file_is_named(tmp_path: Path, bundle: Bundle, part: str) -> None:
    bundle.save(tmp_path / "saved")
    (tmp_path / "saved" / part).unlink()
    with pytest.raises(WeightsError, match=part if part != "model_index.json" else "no bundle"):
        Bundle.load(tmp_path / "saved")


def test_another_format_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    bundle.save(tmp_path / "saved")
    (tmp_path / "saved/model_index.json").write_text(json.dumps({"format": 99, "name": "tiny"}))
    with pytest.raises(WeightsError, match="bundle of format 99"):
        Bundle.load(tmp_path / "saved")


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "is not a JSON object"), ('{"format": 1}', "no name"), ('{"format": 1, "name": 3}', "no name")],
)
def test_an_index_of_another_form(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "model_index.json").write_text(text)
    with pytest.raises(WeightsError, match=message):
        Bundle.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"latent_chanels": 4}', "AutoencoderConfig has no option latent_chanels"), ("{", "is not JSON")],
)
def test_a_config_that_does_not_fit(tmp_path: Path, bundle: Bundle, text: str, message: str) -> None:
    save_component(tmp_path / "autoencoder", bundle.autoencoder, bundle.autoencoder_params)
    (tmp_path / "autoencoder/config.json").write_text(text)
    with pytest.raises(WeightsError, match=message):
        load_component(tmp_path / "autoencoder", AutoencoderConfig)


def test_a_tensor_that_does_not_fit_the_config_is_named(tmp_path: Path, bundle: Bundle) -> None:
    folder = tmp_path / "autoencoder"
    save_component(folder, bundle.autoencoder, bundle.autoencoder_params)
    stored = load_tensors(folder / "model.safetensors", bundle.autoencoder_params)
    kernel = stored["quant_conv"].pop("kernel")
    save_tensors(folder / "model.safetensors", stored)
    with pytest.raises(WeightsError, match="missing tensor quant_conv/kernel"):
        load_component(folder, AutoencoderConfig)
    stored["quant_conv"]["kernel"] = kernel[..., :-1]
    save_tensors(folder / "model.safetensors", stored)
    with pytest.raises(WeightsError, match="quant_conv/kernel has shape"):
        load_component(folder, AutoencoderConfig)


def test_abstract_params_are_those_of_a_model_for_any_config() -> None:
    config = AutoencoderConfig(block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1, latent_channels=2)
    shapes = abstract_params(config)
    assert shapes["quant_conv"]["bias"].shape == (4,)
    assert jax.tree.structure(random_params(config)) == jax.tree.structure(shapes)
    with pytest.raises(TypeError, match="no model has a int"):
        abstract_params(3)
