"""How well a generated video does what its driving clip asked for, against what is possible and what is not enough.

    requested landmarks ──► pipeline ──► video ──► MediaPipe ──► compared with the request and the driving clip

The same numbers for the true picture of a synthetic person with these landmarks are the ceiling; those of the generated
video with its frames in random order are the floor: a metric that the floor passes measures nothing.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, UInt8

from adiff_jax.evals.colours import COLOUR_DRIFT, colour_deviation, region_colour
from adiff_jax.evals.expression import AED, AED_MOTION, expression_distance, expression_motion_distance
from adiff_jax.evals.landmarks import FOUND_RATE, LANDMARK_ERROR, found_rate, landmark_error
from adiff_jax.evals.mouth import MOUTH_CORRELATION, mouth_correlation
from adiff_jax.evals.observation import Observation
from adiff_jax.evals.pose import APD, APD_MOTION, FROZEN_APD, frozen_pose_distance, pose_distance, pose_motion_distance
from adiff_jax.evals.report import Metric

REGIONS = ("hair", "clothes", "background")

MOTION_METRICS = (
    Metric("face found", FOUND_RATE, ".1%", "higher"),
    Metric("landmark error", LANDMARK_ERROR, ".2%"),
    Metric("mouth correlation", MOUTH_CORRELATION, ".3f", "higher"),
    Metric("AED", AED, ".4f"),
    Metric("AED motion", AED_MOTION, ".4f"),
    Metric("APD", APD, ".2f"),
    Metric("APD motion", APD_MOTION, ".2f"),
    Metric("frozen APD", FROZEN_APD, ".2f", "higher"),
)
COLOUR_METRICS = tuple(Metric(f"{region} drift", f"{region}: {COLOUR_DRIFT}", ".3f") for region in REGIONS)

People = Mapping[str, Float[np.ndarray, "N 3"]]


def motion_scores(seen: Observation, requested: Float[np.ndarray, "F 478 P"], driver: Observation) -> dict[str, float]:
    """`MOTION_METRICS` of one video.

    Args:
        seen: what is seen in the video.
        requested: landmarks that the video was asked to show, in [-1, 1].
        driver: what is seen in the driving clip's face crop, at the video's resolution.
    """
    both = seen.found & driver.found
    return {
        "face found": found_rate(seen.found),
        "landmark error": landmark_error(seen.points, requested, seen.found),
        "mouth correlation": mouth_correlation(seen.points, requested, seen.found),
        "AED": expression_distance(seen.blendshapes, driver.blendshapes, both),
        "AED motion": expression_motion_distance(seen.blendshapes, driver.blendshapes, both),
        "APD": pose_distance(seen.pose, driver.pose, both),
        "APD motion": pose_motion_distance(seen.pose, driver.pose, both),
        "frozen APD": frozen_pose_distance(driver.pose, both),
    }


def shuffled(seen: Observation, seed: int = 0) -> Observation:
    """The floor: the same frames in random order."""
    return seen[np.random.default_rng(seed).permutation(len(seen.found))]


def colour_scores(
    frames: UInt8[np.ndarray, "F H W 3"],
    regions: Mapping[str, Bool[np.ndarray, "F H W"]],
    people: People,
) -> dict[str, float]:
    """`COLOUR_METRICS` of one video.

    Args:
        frames: the video.
        regions: for each of `REGIONS` where it is in each frame.
        people: for each of `REGIONS` its mean colour in pictures of N different people.
    """
    return {
        f"{region} drift": colour_deviation(region_colour(frames, regions[region])) / colour_deviation(people[region])
        for region in REGIONS
    }
