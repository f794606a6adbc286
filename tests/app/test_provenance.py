"""A generated frame is labelled, and its file says how it was made."""

import json

import numpy as np
import pytest

from adiff_jax import __version__
from adiff_jax.app.consent import Consent
from adiff_jax.app.provenance import Claim, Ingredient, stamp


@pytest.mark.parametrize("size", [32, 128, 256, 511])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_label_is_visible_and_only_in_its_corner(size: int, grey: int) -> None:
    frame = np.full((size, size, 3), grey, np.uint8)
    stamped = stamp(frame)
    changed = np.argwhere((stamped != frame).any(axis=-1))
    assert stamped.shape == frame.shape
    assert (frame == grey).all(), "the frame given must stay as it is"
    assert changed[:, 0].min() > 0.6 * size
    assert np.ptp(changed[:, 1]) < 0.6 * size
    label = stamped[changed[:, 0].min() :, : changed[:, 1].max() + 1].astype(int)
    assert np.ptp(label) > 120, "too little contrast to read"


CLAIM = Claim(
    "reenacted",
    "some-bundle",
    (
        Ingredient("source", "a.png", "ab" * 32, Consent("confirmed at the terminal", "2026-01-02T03:04:05+00:00")),
        Ingredient("driver", "synthetic:3"),
    ),
    {"bundle": "cd" * 32},
)


def test_claim_names_what_made_it_of_what() -> None:
    assert CLAIM.sentence() == (
        f"AI-generated video: reenacted by adiff_jax {__version__} with the bundle some-bundle "
        "from source a.png, driver synthetic:3"
    )


def test_record_holds_everything_and_is_json() -> None:
    assert json.loads(json.dumps(CLAIM.record())) == {
        "software": {"name": "adiff_jax", "version": __version__},
        "action": "reenacted",
        "bundle": {"name": "some-bundle", "sha256": {"bundle": "cd" * 32}},
        "inputs": [
            {
                "role": "source",
                "name": "a.png",
                "sha256": "ab" * 32,
                "consent": {"how": "confirmed at the terminal", "time": "2026-01-02T03:04:05+00:00"},
            },
            {"role": "driver", "name": "synthetic:3"},
        ],
    }
