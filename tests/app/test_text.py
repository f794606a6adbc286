"""Videos from texts: where embeddings of texts are moved to, and what an edit keeps."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_bundle

from adiff_jax.app.cli import main
from adiff_jax.app.options import EditOptions, SamplingOptions, TextSamplingOptions
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline, GeneratedVideo
from adiff_jax.app.pipeline.cards import text_card
from adiff_jax.app.pipeline.modality import measure_modality
from adiff_jax.data.source import SyntheticSource
from adiff_jax.media.errors import MediaError
from adiff_jax.weights.bundle import Bundle
from adiff_jax.weights.modality import Modality
from adiff_jax.weights.tensors import WeightsError

PROMPT = "a face"
OPTIONS = {"num_inference_steps": 5, "max_frames": 4, "guidance_clip": 1.0, "guidance_landmarks": 1.0}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    rng = np.random.default_rng(0)
    modality = Modality(*rng.normal(size=(2, 8)).astype(np.float32))
    return dataclasses.replace(tiny_bundle(tmp_path_factory.mktemp("tiny")), modality=modality)


@pytest.fixture(scope="module")
def pipeline(bundle: Bundle) -> AnchoredDiffusionPipeline:
    return AnchoredDiffusionPipeline(bundle)


def latents_of(video: GeneratedVideo) -> np.ndarray:
    return np.concatenate(list(video.latents))


def test_a_text_is_moved_to_where_pictures_are(pipeline: AnchoredDiffusionPipeline, bundle: Bundle) -> None:
    embedding = np.asarray(pipeline._networks.embed_text(PROMPT))
    np.testing.assert_allclose(np.linalg.norm(embedding), 1, rtol=1e-5)
    moved = embedding + bundle.modality.image_mean - bundle.modality.text_mean
    np.testing.assert_allclose(pipeline._texts.person(PROMPT), moved / np.linalg.norm(moved), rtol=1e-4)


def test_a_direction_is_from_text_to_text(pipeline: AnchoredDiffusionPipeline, bundle: Bundle) -> None:
    np.testing.assert_array_equal(pipeline._texts.direction(PROMPT, PROMPT), 0)
    there, back = pipeline._texts.direction(PROMPT, "hair"), pipeline._texts.direction("hair", PROMPT)
    np.testing.assert_allclose(there, -back, atol=1e-6)
    from_mean = pipeline._texts.direction(PROMPT, None) + bundle.modality.text_mean
    np.testing.assert_allclose(from_mean, pipeline._networks.embed_text(PROMPT), atol=1e-6)


def test_animation_follows_the_drivers_landmarks(pipeline: AnchoredDiffusionPipeline) -> None:
    video = pipeline.animate(PROMPT, "synthetic:1", **OPTIONS)
    assert video.action == "animated"
    assert video.inputs == {"text": (repr(PROMPT), None), "driver": ("synthetic:1", None)}
    np.testing.assert_array_equal(video.landmarks, video.driving.points)
    assert video.source.picture.shape == (32, 32, 3)
    assert latents_of(video).shape[0] == 4


def test_what_a_text_says_has_guidance_of_its_own(pipeline: AnchoredDiffusionPipeline) -> None:
    of_text, of_picture = TextSamplingOptions(), SamplingOptions()
    assert of_text.guidance_clip > of_picture.guidance_clip
    videos = [
        (pipeline.animate(PROMPT, "synthetic:1"), of_text),
        (pipeline.animate(PROMPT, "synthetic:1", guidance_clip=1.0), dataclasses.replace(of_text, guidance_clip=1.0)),
        (pipeline.edit("synthetic:1", PROMPT), of_text),
        (pipeline.reenact("synthetic:7", "synthetic:1"), of_picture),
    ]
    for video, settings in videos:
        assert video.latents.commission.settings == settings
    assert pipeline.edit("synthetic:1", PROMPT).latents.commission.strength == EditOptions.strength


def test_texts_matter(pipeline: AnchoredDiffusionPipeline) -> None:
    first, second = (latents_of(pipeline.animate(text, "synthetic:1", **OPTIONS)) for text in (PROMPT, "red hair"))
    assert not np.array_equal(first, second)


def test_an_edit_keeps_the_more_the_less_its_strength(pipeline: AnchoredDiffusionPipeline) -> None:
    def distance(strength: float) -> float:
        video = pipeline.edit("synthetic:1", PROMPT, strength=strength, **OPTIONS)
        original = np.asarray(pipeline.encode(np.stack(list(video.driving.frames()))))
        return float(np.abs(latents_of(video) - original).mean())

    assert distance(0.2) < distance(1.0)


def test_a_motion_file_is_nothing_to_edit(pipeline: AnchoredDiffusionPipeline) -> None:
    with pytest.raises(MediaError, match="no picture to edit; give the video itself"):
        pipeline.edit("talk.safetensors", PROMPT)


def test_origin_and_prompt_strength_move_the_person(pipeline: AnchoredDiffusionPipeline) -> None:
    def person(**options: object) -> np.ndarray:
        video = pipeline.edit("synthetic:1", PROMPT, **OPTIONS, **options)
        assert (video.action, video.inputs) == (
            "edited",
            {"video": ("synthetic:1", None), "text": (repr(PROMPT), None)},
        )
        return np.asarray(video.latents.commission.embedding)

    still = person(origin=PROMPT)
    np.testing.assert_allclose(person(prompt_strength=0.0), still, atol=1e-6)
    assert np.abs(person(origin="hair") - still).max() > 1e-3
    assert np.abs(person(origin="hair", prompt_strength=0.5) - person(origin="hair")).max() > 1e-3


def test_an_edit_is_not_added_to(pipeline: AnchoredDiffusionPipeline) -> None:
    with pytest.raises(ValueError, match="edit a longer one"):
        pipeline.extend(pipeline.edit("synthetic:1", PROMPT, **OPTIONS), "synthetic:2")


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_text_is_refused(pipeline: AnchoredDiffusionPipeline, text: str) -> None:
    for call in (pipeline.animate, lambda text, driver, **options: pipeline.edit(driver, text, **options)):
        with pytest.raises(ValueError, match="the text is empty"):
            call(text, "synthetic:1", **OPTIONS)


def test_a_bundle_that_knows_no_texts_says_so(bundle: Bundle) -> None:
    silent = AnchoredDiffusionPipeline(dataclasses.replace(bundle, modality=None))
    with pytest.raises(ValueError, match="make it anew with `adiff bundle`"):
        silent.animate(PROMPT, "synthetic:1", **OPTIONS)


def test_the_gap_is_measured_and_kept(bundle: Bundle, tmp_path: Path) -> None:
    measured = measure_modality(bundle, SyntheticSource(3, num_frames=1, size=32))
    assert 0 < np.linalg.norm(measured.image_mean) <= 1 >= np.linalg.norm(measured.text_mean) > 0
    dataclasses.replace(bundle, modality=measured).save(tmp_path / "told")
    np.testing.assert_array_equal(Bundle.load(tmp_path / "told").modality.image_mean, measured.image_mean)
    dataclasses.replace(bundle, modality=None).save(tmp_path / "silent")
    assert Bundle.load(tmp_path / "silent").modality is None
    (tmp_path / "told/clip/modality.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(WeightsError, match="damaged"):
        Bundle.load(tmp_path / "told")


def test_the_command_that_makes_a_bundle_measures_the_gap(bundle: Bundle, tmp_path: Path) -> None:
    dataclasses.replace(bundle, modality=None).save(tmp_path / "silent")
    (tmp_path / "card.md").write_text("# new\n")
    parts = [word for name in ("sdit", "autoencoder", "clip") for word in (f"--{name}", str(tmp_path / "silent"))]
    argv = ["bundle", *parts, "--card", str(tmp_path / "card.md"), "--out", str(tmp_path / "new")]
    assert main([*argv, "--pairs", "synthetic:3"]) == 0
    expected = measure_modality(bundle, SyntheticSource(3, num_frames=1, size=16))
    np.testing.assert_allclose(Bundle.load(tmp_path / "new").modality.text_mean, expected.text_mean, atol=1e-5)


def test_the_shipped_bundle_knows_texts() -> None:
    modality = Bundle.load().modality
    assert np.linalg.norm(modality.image_mean - modality.text_mean) > 0.1


def test_a_card_shows_its_text() -> None:
    card = text_card("a woman with long red hair and a green shirt", 128)
    assert card.shape == (128, 128, 3)
    assert 0.02 < (card < 128).mean() < 0.5
    assert (card[0] == 255).all() and (card[:, -1] == 255).all(), "nothing reaches the border"
