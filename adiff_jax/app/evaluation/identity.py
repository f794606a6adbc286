"""Whether the recogniser of drawn people can be trusted."""

import os
from collections.abc import Sequence

import numpy as np

from adiff_jax.app.evaluation.autoencoder import reconstruct
from adiff_jax.app.inputs import SYNTHETIC_FPS
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
from adiff_jax.data.synthetic import render_clip
from adiff_jax.evals.identity import EQUAL_ERROR, RANK_ONE, VERIFICATION, Recogniser, verification
from adiff_jax.evals.report import Metric, Report

CLIP_FRAMES = 250


def evaluate_identity(
    pipeline: AnchoredDiffusionPipeline,
    recogniser: Recogniser,
    seeds: Sequence[int],
    num_pictures: int,
    out: str | os.PathLike,
) -> Report:
    """Tells drawn people apart by pictures at random times of ten seconds, true and through the autoencoder.

    Saves `identity.md` and `.json`.

    Args:
        pipeline: whose autoencoder it is.
        recogniser: what is measured.
        seeds: of the people, which training must not have seen.
        num_pictures: of each.
        out: folder, made if it is not there.
    """
    embeddings: dict[str, list] = {"true pictures": [], "through the autoencoder": []}
    for seed in seeds:
        times = np.random.default_rng(seed).choice(CLIP_FRAMES, num_pictures, replace=False)
        clip = render_clip(seed, num_frames=CLIP_FRAMES, size=pipeline.size, fps=SYNTHETIC_FPS, frames=times.tolist())
        for label, frames in zip(embeddings, (clip.frames, reconstruct(pipeline, clip.frames))):
            embeddings[label].append(recogniser(frames, clip.landmarks))
    report = Report(
        title="Identity of drawn people it has not seen",
        setting={
            "network": recogniser.name,
            "people": f"{len(seeds)} with {num_pictures} pictures each, seeds from {seeds[0]}, at random times of "
            f"{CLIP_FRAMES / SYNTHETIC_FPS:.0f} seconds",
            "pictures": f"{pipeline.size} x {pipeline.size}; autoencoder of {pipeline.bundle.name}",
        },
        metrics=(
            Metric("verification", VERIFICATION, ".2%", "higher"),
            Metric("equal error", EQUAL_ERROR, ".2%"),
            Metric("rank one", RANK_ONE, ".2%", "higher"),
        ),
        rows={label: verification(np.stack(of_all)) for label, of_all in embeddings.items()},
    )
    report.save(out, "identity")
    return report
