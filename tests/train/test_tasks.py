"""The three tasks on tiny models: their losses, what is frozen, and what they export."""

import dataclasses
from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from tiny import random_params, tiny_bundle

from adiff_jax.data.loader import make_loader
from adiff_jax.data.schema import ClipRecord
from adiff_jax.data.source import open_source
from adiff_jax.diffusion.process import DiffusionConfig
from adiff_jax.models.autoencoder import AutoencoderConfig, AutoencoderKL, posterior_sample, scale_latents
from adiff_jax.models.clip import CLIP, CLIPConfig
from adiff_jax.models.sdit import SDiTConfig
from adiff_jax.train.tasks import make_task
from adiff_jax.train.tasks.autoencoder import channel_scales, multiscale_gradient
from adiff_jax.train.tasks.clip import cross_entropy, same_rows
from adiff_jax.train.tasks.pictures import as_bytes, resize
from adiff_jax.train.tasks.sdit import SDiTTask
from adiff_jax.weights.bundle import load_component, read_config, save_component
from adiff_jax.weights.modality import Modality, unit
from configs import autoencoder, clip, sdit

SOURCE = open_source("synthetic:4", num_frames=6, size=32)
KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 2)  # of the examples of a batch


def first_batch(task, preview: bool = False) -> dict[str, jax.Array]:
    with closing(make_loader(SOURCE, task.transforms(preview), batch_size=2, seed=0)) as batches:
        return jax.tree.map(jnp.asarray, next(batches))


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose models fit the tiny sDiT."""
    folder = tmp_path_factory.mktemp("frozen")
    bundle = tiny_bundle(folder)
    save_component(folder / "autoencoder", bundle.autoencoder, bundle.autoencoder_params)
    save_component(folder / "clip", bundle.clip, bundle.clip_params)
    return folder


def sdit_config(frozen: Path) -> ml_collections.ConfigDict:
    config = sdit.get_config("small128,tiny")
    config.autoencoder, config.clip = str(frozen / "autoencoder"), str(frozen / "clip")
    return config


class TestAutoencoder:
    def test_loss_of_a_perfect_reconstruction_is_its_kl(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        task = make_task(autoencoder.get_config("small128,tiny"), SOURCE, tmp_path)
        batch = first_batch(task)
        moments = jnp.zeros((2, 4, 4, 8))
        perfect = {"encode": moments, "decode": batch["image"]}
        monkeypatch.setattr(AutoencoderKL, "apply", lambda self, variables, x, method: perfect[method])
        loss, metrics = task.loss({}, batch, KEYS)
        assert loss == metrics["l1"] == metrics["edges"] == metrics["kl"] == 0
        assert metrics["psnr"] == np.inf

    def test_exports_latents_of_unit_variance(self, tmp_path: Path) -> None:
        task = make_task(autoencoder.get_config("small128,tiny"), SOURCE, tmp_path)
        batch = first_batch(task)
        params = jax.jit(lambda key: task.init(key, batch))(KEY)
        task.export(tmp_path, params, [batch])
        config, loaded = load_component(tmp_path / "autoencoder", AutoencoderConfig)
        moments = AutoencoderKL(config).apply({"params": loaded}, batch["image"], method="encode")
        latents = scale_latents(config, posterior_sample(KEY, moments))
        # Another draw of 2 x 4 x 4 x 4 posteriors, at first of variance near 1: 128 values, 5 / sqrt(2 x 128) = 0.3.
        np.testing.assert_allclose(np.std(latents), 1, atol=0.3)

    def test_channels_share_the_variance_by_what_they_do_to_the_picture(self) -> None:
        deviations, gains = np.array([2.0, 1.0, 0.5]), np.array([8.0, 1.0, 0.0])
        latents = 3 + deviations * np.random.default_rng(0).standard_normal((100_000, 3))
        shift, scale = channel_scales(latents, gains)
        scaled = (latents - shift) * scale
        np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(np.mean(scaled**2), 1, rtol=1e-6)
        # Products of deviation and gain are 16, 1 and 0, the last raised to 0.16; 1 % for the sample's deviations.
        np.testing.assert_allclose(scaled.std(axis=0) / scaled.std(axis=0)[0], [1, 1 / 4, 1 / 10], rtol=0.01)

    def test_with_noise_the_decoder_alone_learns_and_the_scale_stays(self, tmp_path: Path) -> None:
        config = autoencoder.get_config("small128,tiny")
        config.loss.decoder_noise = 0.5
        scale = {"scaling_factor": (1.0, 2.0, 3.0, 4.0), "shift_factor": (0.1,) * 4}
        scaled = AutoencoderConfig(**config.model.to_dict() | scale)
        params = random_params(scaled)
        save_component(tmp_path / "autoencoder", scaled, params)
        config.init_from = str(tmp_path / "autoencoder")
        task = make_task(config, SOURCE, tmp_path)
        batch = first_batch(task)
        grads = flatten_dict(jax.jit(jax.grad(lambda params: task.loss(params, batch, KEYS)[0]))(params), sep="/")
        moved = {path.split("/")[0] for path, grad in grads.items() if np.any(grad)}
        assert moved == {"decoder", "post_quant_conv"}
        task.export(tmp_path / "export", params, [])
        assert read_config(tmp_path / "export" / "autoencoder", AutoencoderConfig) == scaled

    def test_noise_needs_an_autoencoder_of_the_same_kind(self, tmp_path: Path) -> None:
        config = autoencoder.get_config("small128,tiny")
        config.loss.decoder_noise = 0.5
        with pytest.raises(ValueError, match="set init_from"):
            make_task(config, SOURCE, tmp_path)
        other = AutoencoderConfig(block_out_channels=(8,), norm_num_groups=4)
        save_component(tmp_path / "other", other, random_params(other))
        config.init_from = str(tmp_path / "other")
        with pytest.raises(ValueError, match="is not the one"):
            make_task(config, SOURCE, tmp_path)

    def test_edges_of_a_ramp(self) -> None:
        ramp = jnp.broadcast_to(jnp.arange(8.0)[None, :, None, None], (1, 8, 8, 3))
        np.testing.assert_allclose(multiscale_gradient(ramp), 1 + 2 + 4)

    def test_edges_do_not_see_brightness(self) -> None:
        assert multiscale_gradient(jnp.full((1, 8, 8, 3), 0.5)) == 0


class TestCLIP:
    def test_equal_texts_are_all_right(self) -> None:
        tokens = jnp.array([[1, 2], [3, 4], [1, 2]])
        np.testing.assert_array_equal(same_rows(tokens), [[1, 0, 1], [0, 1, 0], [1, 0, 1]])

    def test_cross_entropy(self) -> None:
        logits = jnp.log(jnp.array([[0.5, 0.5], [0.25, 0.75]]))
        expected = -(np.log(0.5) + np.log(0.75)) / 2
        np.testing.assert_allclose(cross_entropy(logits, jnp.eye(2)), expected, rtol=1e-6)

    def test_learns_a_tokenizer_and_exports_it(self, tmp_path: Path) -> None:
        task = make_task(clip.get_config("small,tiny"), SOURCE, tmp_path)
        batch = first_batch(task)
        assert batch["tokens"].shape[1] == 1 + task.hard_negatives
        assert (batch["tokens"].max(axis=-1) == task.model.config.eos_token_id).all()
        params = jax.jit(lambda key: task.init(key, batch))(KEY)
        loss, metrics = task.loss(params, batch, KEYS)
        assert 0 < loss < 10
        assert 0 <= metrics["accuracy"] <= 1
        np.testing.assert_allclose(metrics["scale"], 1 / 0.07, rtol=1e-4)
        task.export(tmp_path / "export", params, [batch, batch])
        config, loaded = load_component(tmp_path / "export" / "clip", CLIPConfig)
        text = CLIP(config).apply({"params": loaded}, batch["tokens"][:, 0], method="encode_text")
        modality = Modality.load(tmp_path / "export" / "clip", config.projection_dim)
        np.testing.assert_allclose(modality.text_mean, unit(text).mean(axis=0), atol=1e-6)
        assert (tmp_path / "export" / "tokenizer" / "vocab.json").read_bytes() == (
            tmp_path / "tokenizer" / "vocab.json"
        ).read_bytes()

    def test_what_is_nearly_right_counts_for_the_picture_alone(self, tmp_path: Path) -> None:
        config = clip.get_config("small,tiny")
        task = make_task(config, SOURCE, tmp_path)
        batch = first_batch(task)
        params = jax.jit(lambda key: task.init(key, batch))(KEY)
        texts, nearly, _ = task._logits(params, batch)
        logits = jnp.hstack([texts, nearly])
        by_hand = jax.nn.logsumexp(logits, axis=1) + jax.nn.logsumexp(texts, axis=0) - 2 * jnp.diagonal(texts)
        loss, _ = task.loss(params, batch, KEYS)
        np.testing.assert_allclose(loss, by_hand.mean() / 2, rtol=1e-5)  # float32
        alone = dict(batch, tokens=batch["tokens"][:, :1])
        assert task.loss(params, alone, KEYS)[0] < loss, "there is more to be told apart"

    def test_a_tokenizer_larger_than_the_model_is_refused(self, tmp_path: Path) -> None:
        config = clip.get_config("small,tiny")
        make_task(config, SOURCE, tmp_path)
        config.tokenizer = str(tmp_path / "tokenizer")
        config.model.vocab_size = 100
        with pytest.raises(ValueError, match="vocab_size is 100"):
            make_task(config, SOURCE, tmp_path)


class TestSDiT:
    def test_previews_of_a_source_of_one_clip(self, tmp_path: Path, frozen: Path) -> None:
        task = make_task(sdit_config(frozen), SOURCE, tmp_path)
        batch = jax.tree.map(lambda leaf: leaf[:1], first_batch(task, preview=True))
        params = task.init(KEY, first_batch(task))
        pictures = task.preview(params, batch, KEY).pictures
        assert len(pictures) == 2, "the clip, and what is made from its landmarks"

    def test_drops_each_condition_on_its_own(
        self, tmp_path: Path, frozen: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = sdit_config(frozen)
        config.loss.drop_landmarks = 0.4
        task = make_task(config, SOURCE, tmp_path)
        seen = []
        monkeypatch.setattr(task.model.__class__, "apply", lambda self, variables, z, t, cond: seen.append(cond) or z)
        batch = {
            "moments": jnp.zeros((4096, 1, 2, 2, 8)),
            "clip": jnp.zeros((4096, 8)),
            "landmarks": jnp.zeros((4096, 1, 478, 2)),
        }
        task.replace(encoded=True).loss({}, batch, jax.random.split(KEY, 4096))
        clip_mask, landmarks_mask = np.asarray(seen[0].clip_mask), np.asarray(seen[0].landmarks_mask)
        # Five standard deviations of a share of 4096 draws: at most 5 sqrt(0.25 / 4096) = 0.04.
        np.testing.assert_allclose(1 - clip_mask.mean(), 0.1, atol=0.04)
        np.testing.assert_allclose(1 - landmarks_mask.mean(), 0.4, atol=0.04)
        np.testing.assert_allclose((~clip_mask & ~landmarks_mask).mean(), 0.04, atol=0.02)

    def test_loss_of_the_true_target_is_zero(self, tmp_path: Path, frozen: Path, monkeypatch) -> None:
        task = make_task(sdit_config(frozen), SOURCE, tmp_path).replace(encoded=True)
        moments = jnp.concatenate([jnp.ones((2, 1, 2, 2, 4)), jnp.full((2, 1, 2, 2, 4), -30.0)], axis=-1)
        scale = task.autoencoder.config.scaling_factor

        def oracle(self, variables, z_t, t, cond):
            alpha, sigma = task.process.schedule.at(t.astype(jnp.int32))
            noise = (z_t - alpha[:, None, None, None, None] * scale) / sigma[:, None, None, None, None]
            return task.process.target(jnp.full_like(z_t, scale), noise, t.astype(jnp.int32))

        monkeypatch.setattr(task.model.__class__, "apply", oracle)
        batch = {"moments": moments, "clip": jnp.zeros((2, 8)), "landmarks": jnp.zeros((2, 1, 478, 2))}
        loss, metrics = task.loss({}, batch, KEYS)
        np.testing.assert_allclose([loss, metrics["mse"]], 0, atol=1e-6)  # float32 through z_t and back

    def test_encoding_in_the_step_or_before_is_the_same(self, tmp_path: Path, frozen: Path) -> None:
        task = make_task(sdit_config(frozen), SOURCE, tmp_path)
        batch = first_batch(task)
        moments = task.autoencoder.apply({"params": task.autoencoder_params}, batch["frames"], method="encode")
        images = resize(jnp.asarray(batch["clip_image"]), task.clip.config.image_size)
        embedding = task.clip.apply({"params": task.clip_params}, images, method="encode_image")
        encoded = {
            "landmarks": batch["landmarks"],
            "moments": moments,
            "clip": embedding / jnp.linalg.norm(embedding, axis=-1, keepdims=True),
        }
        params = jax.jit(lambda key: task.init(key, batch))(KEY)
        # At initialisation the model's output is zero whatever it is given; these weights make it see.
        params = jax.tree.map(lambda leaf: 0.1 * jax.random.normal(KEY, leaf.shape), params)
        loss = jax.jit(SDiTTask.loss)
        np.testing.assert_allclose(
            loss(task, params, batch, KEYS)[0], loss(task.replace(encoded=True), params, encoded, KEYS)[0], rtol=1e-5
        )

    def test_frozen_weights_are_leaves(self, tmp_path: Path, frozen: Path) -> None:
        task = make_task(sdit_config(frozen), SOURCE, tmp_path)
        assert len(jax.tree.leaves(task)) == len(
            jax.tree.leaves((task.process, task.autoencoder_params, task.clip_params))
        )

    def test_exports_model_and_process(self, tmp_path: Path, frozen: Path) -> None:
        task = make_task(sdit_config(frozen), SOURCE, tmp_path)
        params = jax.jit(lambda key: task.init(key, first_batch(task)))(KEY)
        task.export(tmp_path, params, [])
        config, _ = load_component(tmp_path / "sdit", SDiTConfig)
        assert config == task.model.config
        assert read_config(tmp_path / "scheduler", DiffusionConfig) == task.diffusion

    def test_models_that_do_not_fit_are_refused(self, tmp_path: Path, frozen: Path) -> None:
        config = sdit_config(frozen)
        config.model.in_channels = 5
        with pytest.raises(ValueError, match="in_channels is 5, but must equal the channels of the latents, 4"):
            make_task(config, SOURCE, tmp_path)

    def test_records_of_another_size_are_refused(self, tmp_path: Path, frozen: Path) -> None:
        config = sdit_config(frozen)
        config.data.encoded = True
        side, channels, width = config.model.input_size, config.model.in_channels, config.model.clip_dim

        def encoded(side: int, channels: int, width: int) -> list[ClipRecord]:
            clip = SOURCE[0]
            moments = np.zeros((len(clip), side, side, 2 * channels), np.float16)
            return [dataclasses.replace(clip, moments=moments, clip_image=np.zeros((len(clip), width), np.float16))]

        make_task(config, encoded(side, channels, width), tmp_path)
        for wrong, option in (
            (encoded(2 * side, channels, width), "input_size"),
            (encoded(side, channels + 1, width), "in_channels"),
            (encoded(side, channels, width + 1), "clip_dim"),
        ):
            with pytest.raises(ValueError, match=f"model.{option} is .*, but must equal .* of the records"):
                make_task(config, wrong, tmp_path)

    def test_clips_too_short_for_a_preview_are_refused(self, tmp_path: Path, frozen: Path) -> None:
        config = sdit_config(frozen)
        config.preview.preview_frames = 7
        task = make_task(config, SOURCE, tmp_path)
        with pytest.raises(ValueError, match="lower preview_frames"):
            task.transforms(preview=True)[0].map(SOURCE[0])


def test_bytes_round_and_clip() -> None:
    np.testing.assert_array_equal(as_bytes(jnp.array([-2.0, -1.0, 0.0, 0.001, 1.0, 3.0])), [0, 0, 128, 128, 255, 255])
