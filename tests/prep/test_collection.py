"""What is decided over the whole collection: duplicates and persons."""

import dataclasses

import cv2
import numpy as np
import pytest

from adiff_jax.data.synthetic import clip_landmarks, render_frame, sample_person
from adiff_jax.prep.duplicates import _differences, _unpack, duplicates, look_hash, motion_signature
from adiff_jax.prep.identities import identities, pack
from adiff_jax.prep.options import DuplicateOptions, IdentityOptions
from adiff_jax.prep.outcome import Fact

FRAMES = 50


def fact(
    clip: str, person: int, motion: int, *, frames: slice = slice(None), noise: int = 0, motion_scale: float = 1.0
) -> Fact:
    landmarks = clip_landmarks(person, motion, FRAMES)
    middle = landmarks.mean(axis=0)
    landmarks = (middle + motion_scale * (landmarks - middle))[frames]
    rng = np.random.default_rng(noise)
    picture = render_frame(sample_person(person), landmarks[len(landmarks) // 2], 64)
    if noise:
        picture = np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
        landmarks = landmarks + rng.normal(0, 1e-3, landmarks.shape)
    times = np.arange(FRAMES)[frames] / 25
    return Fact(
        clip,
        frames=len(landmarks),
        seconds=float(times[-1] - times[0]),
        measures={"face": 100.0},
        look=look_hash(picture),
        motion=motion_signature(landmarks, times),
    )


@pytest.fixture(scope="module")
def original() -> Fact:
    return fact("original", 3, 4)


def test_a_duplicate_is_found_however_it_was_changed(original):
    for changed in (
        fact("again", 3, 4, noise=1),
        fact("cut", 3, 4, frames=slice(4, None), noise=2),
    ):
        assert duplicates([original, changed], DuplicateOptions()) == {changed.clip: "original"}


def test_others_are_no_duplicates(original):
    others = [
        fact("same person, another motion", 3, 5),
        fact("another person, same motion", 8, 4),
        dataclasses.replace(fact("same talk, later", 3, 4, frames=slice(25, None)), seconds=1.0),
    ]
    first_half = fact("same talk, before", 3, 4, frames=slice(0, 25))
    assert duplicates([original, *others[:2]], DuplicateOptions()) == {}
    assert duplicates([first_half, others[2]], DuplicateOptions()) == {}


def test_faces_that_hardly_move_are_not_all_alike():
    one, other = fact("one", 3, 4, motion_scale=0.1), fact("other", 3, 5, motion_scale=0.1)
    again = fact("again", 3, 4, motion_scale=0.1, frames=slice(4, None))
    assert duplicates([one, other, again], DuplicateOptions()) == {"again": "one"}
    difference = min(difference for difference, _ in _differences(_unpack(one.motion), _unpack(other.motion)))
    assert difference < DuplicateOptions().duplicate_motion  # which alone would not tell them apart


def test_the_better_one_is_kept(original):
    larger = dataclasses.replace(fact("larger", 3, 4, noise=3), measures={"face": 300.0})
    assert duplicates([original, larger], DuplicateOptions()) == {"original": "larger"}
    three = [original, fact("b", 3, 4, noise=4), fact("c", 3, 4, noise=5)]
    assert duplicates(three, DuplicateOptions()) == {"b": "original", "c": "original"}
    assert duplicates(three, DuplicateOptions(duplicate_bits=-1)) == {}


def test_the_hash_survives_size_and_noise():
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), (128, 128), interpolation=cv2.INTER_CUBIC)
    other = cv2.resize(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), (128, 128), interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(cv2.resize(picture, (90, 90)) + rng.normal(0, 4, (90, 90, 3)), 0, 255).astype(np.uint8)

    def distance(a, b):
        return (int(look_hash(a), 16) ^ int(look_hash(b), 16)).bit_count()

    assert distance(picture, noisy) <= 6
    assert distance(picture, other) > 16


def test_persons_are_grouped_by_their_faces():
    rng = np.random.default_rng(0)
    people = np.linalg.qr(rng.standard_normal((64, 5)))[0].T
    facts = []
    for index in range(20):
        face = (people[index % 5] + 0.05 * rng.standard_normal(64)).astype(np.float32)
        facts.append(Fact(f"c{index}", 1, 1.0, f"video {index}", face=pack(face / np.linalg.norm(face))))
    changed = identities(facts, IdentityOptions(person_similarity=0.7))
    final = [changed.get(fact.clip, fact.identity) for fact in facts]
    assert final == [f"video {index % 5}" for index in range(20)]
    assert identities(facts, IdentityOptions(person_similarity=2.0)) == {}
    # What the source says to be one person stays one, whatever it looks like.
    said = [dataclasses.replace(fact, identity="one") for fact in facts]
    assert identities(said, IdentityOptions(person_similarity=0.99)) == {}
    assert identities([Fact("a", 1, 1.0, "x")], IdentityOptions()) == {}
