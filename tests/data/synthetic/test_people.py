"""Persons: drawn by seed, described in a controlled vocabulary."""

import dataclasses
import difflib
import json

import numpy as np
import pytest

from adiff_jax.data.synthetic import people
from adiff_jax.data.synthetic.people import NUM_CAPTIONS, sample_person

TABLES = {
    "skin": people.SKIN_COLOURS,
    "hair": people.HAIR_COLOURS,
    "eyes": people.EYE_COLOURS,
    "clothes": people.CLOTHES_COLOURS,
    "background": people.BACKGROUND_COLOURS,
    "glasses_colour": people.GLASSES_COLOURS,
}


@pytest.fixture(scope="module")
def persons() -> list[people.Person]:
    return [sample_person(seed) for seed in range(300)]


def test_equal_seeds_give_equal_persons_and_others_differ(persons) -> None:
    assert persons[7] == sample_person(7)
    assert len({dataclasses.replace(person, seed=0) for person in persons}) == len(persons)


def test_colours_lie_within_the_spread_of_their_names(persons) -> None:
    for person in persons:
        for attribute, table in TABLES.items():
            colour = getattr(person, attribute)
            distance = np.abs(np.subtract(colour.rgb, table[colour.name]))
            assert distance.max() <= people.SPREAD


def test_every_choice_of_every_table_occurs(persons) -> None:
    for attribute, table in TABLES.items():
        assert {getattr(person, attribute).name for person in persons} == set(table)
    for attribute, choices in (
        ("cut", people.HAIR_CUTS),
        ("glasses", people.GLASSES),
        ("beard", people.BEARDS),
        ("garment", people.CLOTHES),
        ("pattern", people.PATTERNS),
        ("backdrop", people.BACKGROUNDS),
    ):
        assert {getattr(person, attribute) for person in persons} == set(choices)


def test_captions_name_what_is_seen(persons) -> None:
    for person in persons:
        full = person.caption(0)
        for words in (person.gender, person.clothes.name, person.garment, person.background.name):
            assert words in full
        assert ("glasses" in full) == (person.glasses != "none")
        assert (person.hair.name in full.split("wearing")[0]) or person.cut == "bald"
        captions = [person.caption(variant) for variant in range(NUM_CAPTIONS)]
        assert len(set(captions)) == NUM_CAPTIONS
        assert person.caption(NUM_CAPTIONS + 1) == captions[1]
        assert not any(" a orange" in caption or "  " in caption for caption in captions)


def test_hard_negatives_are_wrong_in_one_thing(persons) -> None:
    changed = set()
    for person in persons[:40]:
        right = [person.caption(variant) for variant in range(NUM_CAPTIONS)]
        negatives = person.hard_negatives()
        assert len(negatives) == 24
        assert negatives == person.hard_negatives()
        assert not set(right) & set(negatives)
        for negative in negatives:
            places, new = min((_changes(caption, negative) for caption in right), key=lambda change: change[0])
            assert places <= 2, "a cut or glasses take two places: a red BOB, red hair IN A BUN"
            changed |= new
    assert {"woman", "man", "old", "round", "striped", "teal", "goatee", "hoodie", "bob", "golden"} <= changed


def _changes(caption: str, other: str) -> tuple[int, set[str]]:
    """At how many places `other` differs, and its words there."""
    words = caption.split(), other.split()
    matcher = difflib.SequenceMatcher(None, *words, autojunk=False)
    new = [words[1][start:stop] for tag, _, _, start, stop in matcher.get_opcodes() if tag != "equal"]
    return len(new), {word.strip(",") for part in new for word in part}


def test_attributes_are_plain_and_agree_with_the_person(persons) -> None:
    attributes = persons[3].attributes()
    assert json.loads(json.dumps(attributes))["hair"] == persons[3].hair.name
    assert attributes["clothes_rgb"] == persons[3].clothes.rgb


def test_only_men_have_beards(persons) -> None:
    assert {person.gender for person in persons if person.beard != "none"} == {"man"}


def test_linear_rgb_follows_the_srgb_standard() -> None:
    # IEC 61966-2-1: 0 and 255 are fixed, 188 is half the light to within its rounding.
    np.testing.assert_allclose(people.linear_rgb(np.array([0, 188, 255])), [0, 0.5, 1], atol=5e-3)
