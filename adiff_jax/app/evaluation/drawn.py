"""What is known of drawn people without looking: where hair, clothes and background are, and how people differ."""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from adiff_jax.app.inputs import synthetic_source
from adiff_jax.data.synthetic import Person
from adiff_jax.data.synthetic.render import LABELS, region_masks
from adiff_jax.evals.colours import region_colour
from adiff_jax.evals.reenactment import REGIONS

PEOPLE = 64
PEOPLE_SEED = 2_000_000


def true_regions(
    persons: Sequence[Person], points: Float[np.ndarray, "F 478 3"], size: int
) -> dict[str, Bool[np.ndarray, "F R R"]]:
    """Where each of `REGIONS` is in the true picture of each person with these landmarks."""
    masks = np.stack([region_masks(person, frame, size) for person, frame in zip(persons, points, strict=True)])
    return {region: masks == LABELS.index(region) for region in REGIONS}


@functools.cache
def people_colours(size: int) -> dict[str, Float[np.ndarray, "N 3"]]:
    """Colours of the regions of different people, each at rest."""
    sources = [synthetic_source(PEOPLE_SEED + index, size) for index in range(PEOPLE)]
    regions = true_regions(
        [source.person for source in sources], np.stack([source.neutral for source in sources]), size
    )
    pictures = np.stack([source.picture for source in sources])
    return {region: region_colour(pictures, masks) for region, masks in regions.items()}
