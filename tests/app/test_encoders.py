"""Encoders give what the pipeline's models give, for any number of frames, and a name that follows the weights."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import random_params, tiny_bundle, tiny_bundle_for_texts

from adiff_jax.app.cli import main
from adiff_jax.app.encoders import BATCH, load_encoders
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
from adiff_jax.app.pipeline.networks import Networks
from adiff_jax.app.pipeline.texts import Texts
from adiff_jax.data.source import open_source
from adiff_jax.models.autoencoder import scale_latents
from adiff_jax.weights.bundle import Bundle, save_component


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def folder(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("components")
    save_component(folder / "autoencoder", bundle.autoencoder, bundle.autoencoder_params)
    save_component(folder / "clip", bundle.clip, bundle.clip_params)
    return folder


def test_they_give_what_the_pipeline_gives(bundle: Bundle, folder: Path) -> None:
    encoders = load_encoders(folder / "autoencoder", folder / "clip")
    pipeline = AnchoredDiffusionPipeline(bundle)
    frames = np.random.default_rng(0).integers(0, 256, (BATCH + 1, 32, 32, 3), dtype=np.uint8)
    mean = np.split(encoders.moments(frames), 2, axis=-1)[0]
    np.testing.assert_allclose(scale_latents(bundle.autoencoder, mean), pipeline.encode(frames), atol=1e-5)
    np.testing.assert_allclose(encoders.clip_image(frames)[-1], pipeline.embed(frames[-1]), atol=1e-5)
    assert encoders.clip_text is None


def test_captions_are_embedded_as_the_pipeline_embeds_texts(tmp_path: Path) -> None:
    bundle = tiny_bundle_for_texts(tmp_path / "bundle")
    save_component(tmp_path / "clip", bundle.clip, bundle.clip_params)
    plain = load_encoders(None, tmp_path / "clip")
    bundle.modality.save(tmp_path / "clip")
    with pytest.raises(ValueError, match="not the folder of a CLIP tokenizer"):
        load_encoders(None, tmp_path / "clip")
    shutil.copytree(bundle.tokenizer, tmp_path / "tokenizer")
    encoders = load_encoders(None, tmp_path / "clip")
    assert encoders.name != plain.name
    embeddings = encoders.clip_text(("red hair", "black hair"))
    expected = Texts(bundle, Networks(bundle)).person("black hair")
    np.testing.assert_allclose(embeddings[1], expected, atol=1e-5)
    assert encoders.clip_text(()).shape == (0, len(expected))


def test_the_name_follows_the_weights(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    assert load_encoders(None, None).name == "none"
    name = load_encoders(folder / "autoencoder", None).name
    assert name.startswith("autoencoder ")
    save_component(tmp_path, bundle.autoencoder, random_params(bundle.autoencoder, seed=1))
    assert load_encoders(tmp_path, None).name != name


def test_they_travel_to_other_processes(folder: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    encoders = load_encoders(folder / "autoencoder", None, "drawn")
    again = pickle.loads(pickle.dumps(encoders))
    np.testing.assert_array_equal(again.moments(frames), encoders.moments(frames))
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 478, 3)).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(again.face(frames, points), axis=-1), 1, atol=1e-5)
    assert "identity by" in encoders.name


def test_prepare_stores_what_they_give(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["prepare", "synthetic:2", "--out", str(tmp_path / "records"), "--size", "32", "--longest", "4"]
    argv += ["--shortest", "2", "--autoencoder", str(folder / "autoencoder"), "--clip", str(folder / "clip")]
    assert main(argv) == 0
    assert "2 clips" in capsys.readouterr().out
    record = open_source(tmp_path / "records")[0]
    assert record.moments.shape == (4, 4, 4, 8)
    assert record.clip_image.shape == (4, 8)
