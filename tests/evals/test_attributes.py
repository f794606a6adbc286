"""The attribute reader: discriminants on what is known, and drawn people it was not fitted to."""

from pathlib import Path

import numpy as np

from adiff_jax.app.evaluation.reader import evaluate_reader, fit_reader, true_attributes
from adiff_jax.data.source import open_source
from adiff_jax.data.synthetic import render_clip
from adiff_jax.evals.attributes import ATTRIBUTES, AttributeReader, Discriminant, features


def test_discriminant_of_gaussian_classes() -> None:
    rng = np.random.default_rng(0)
    means = {"a": [0.0, 0, 0], "b": [4.0, 0, 0], "c": [0.0, 4, 0]}
    labels = [name for name in means for _ in range(50)]
    examples = np.array([means[name] for name in labels]) + rng.normal(size=(150, 3)) * [1, 1, 9]
    discriminant = Discriminant.fit(examples, labels)
    # Means are 4 deviations apart: 2.3 % of each class lie beyond the border, and the third axis says nothing.
    assert np.mean([discriminant(example) == name for example, name in zip(examples, labels)]) > 0.93
    assert discriminant(np.array([4.0, 0, 20])) == "b"


def test_discriminant_tells_classes_apart_by_their_spread() -> None:
    rng = np.random.default_rng(0)
    labels = ["narrow"] * 400 + ["wide"] * 400
    examples = rng.normal(size=(800, 3)) * np.repeat([1.0, 5.0], 400)[:, None]
    discriminant = Discriminant.fit(examples, labels)
    # Densities are equal 2.3 deviations of the narrow class from the centre (chi-square with 3 degrees of freedom):
    # 16 % of the narrow class lie outside, 4 % of the wide one inside; with the share of the pooled covariance, more.
    assert np.mean([discriminant(example) == name for example, name in zip(examples, labels)]) > 0.85


def test_a_reader_is_fitted_saved_and_read(tmp_path: Path) -> None:
    source = open_source("synthetic:12:40", num_frames=2, size=48)
    reader = fit_reader(source)
    truths = [true_attributes(source[index].info.attributes) for index in range(12)]
    assert {name for truth in truths for name in truth} == set(ATTRIBUTES)
    reader.save(tmp_path / "reader.safetensors")
    again = AttributeReader.load(tmp_path / "reader.safetensors")
    clip = source[3]
    example = features(clip.frames[np.arange(2)], clip.landmarks)
    assert again(example) == reader(example)
    assert again.name == reader.name != AttributeReader.load().name
    assert again(example).keys() == set(ATTRIBUTES)


def test_the_shipped_reader_reads_people_it_has_not_seen(tmp_path: Path) -> None:
    report = evaluate_reader(AttributeReader.load(), range(900, 924), 128, tmp_path)
    accuracy = report.rows["true pictures"]
    # Of 24 people; chance is a ninth, a thirteenth and a half.
    assert accuracy["hair"] > 0.85
    assert accuracy["clothes"] > 0.75
    assert accuracy["glasses"] > 0.8


def test_features_are_means_over_frames() -> None:
    clip = render_clip(5, num_frames=3, size=64)
    whole = features(clip.frames, clip.landmarks)
    single = [features(clip.frames[i : i + 1], clip.landmarks[i : i + 1]) for i in range(3)]
    for name in ATTRIBUTES:
        np.testing.assert_allclose(whole[name], np.mean([example[name] for example in single], axis=0))
