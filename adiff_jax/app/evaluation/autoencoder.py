"""What the autoencoder alone takes from pictures."""

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from adiff_jax.app.inputs import SYNTHETIC_FPS
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
from adiff_jax.data.synthetic import SyntheticClip, render_clip
from adiff_jax.evals.landmarks import FOUND_RATE, LANDMARK_ERROR, found_rate, landmark_error
from adiff_jax.evals.mouth import MOUTH_CORRELATION, mouth_correlation
from adiff_jax.evals.observation import MEASURED_SIZE, observe
from adiff_jax.evals.pictures import PSNR, SSIM, psnr, ssim
from adiff_jax.evals.report import Metric, Report, mean_rows

Frames = UInt8[np.ndarray, "F R R 3"]


def evaluate_autoencoder(
    pipeline: AnchoredDiffusionPipeline, seeds: Sequence[int], num_frames: int, out: str | os.PathLike
) -> Report:
    """Compares the autoencoder's reconstructions of drawn clips with the clips; saves `autoencoder.md` and `.json`.

    Args:
        pipeline: what is measured.
        seeds: of the clips, which training must not have seen.
        num_frames: frames of each clip.
        out: folder, made if it is not there.
    """
    tables = []
    for seed in seeds:
        clip = render_clip(seed, num_frames=num_frames, size=pipeline.size, fps=SYNTHETIC_FPS)
        videos = {"autoencoder": reconstruct(pipeline, clip.frames), "true picture": clip.frames}
        tables.append({label: _reconstruction_scores(pipeline, video, clip) for label, video in videos.items()})
    report = Report(
        title="Autoencoder on drawn clips it has not seen",
        setting={
            "bundle": pipeline.bundle.name,
            "clips": f"{len(seeds)} of {num_frames} frames, seeds from {seeds[0]}; numbers are means over clips",
            "pictures": f"{pipeline.size} x {pipeline.size}; MediaPipe sees them at {MEASURED_SIZE} or more (bicubic)",
            "requested landmarks": "the drawn persons' true ones",
        },
        metrics=(
            Metric("PSNR", PSNR, ".2f", "higher"),
            Metric("SSIM", SSIM, ".4f", "higher"),
            Metric("face found", FOUND_RATE, ".1%", "higher"),
            Metric("landmark error", LANDMARK_ERROR, ".2%"),
            Metric("mouth correlation", MOUTH_CORRELATION, ".3f", "higher"),
        ),
        rows=mean_rows(tables),
    )
    report.save(out, "autoencoder")
    return report


def reconstruct(pipeline: AnchoredDiffusionPipeline, frames: Frames) -> Frames:
    """Pictures through the autoencoder and back."""
    return np.stack(list(pipeline.decode(pipeline.encode(frames))))


def _reconstruction_scores(
    pipeline: AnchoredDiffusionPipeline, frames: Frames, clip: SyntheticClip
) -> dict[str, float]:
    seen = observe(frames, SYNTHETIC_FPS, pipeline.detector)
    return {
        "PSNR": psnr(frames, clip.frames),
        "SSIM": ssim(frames, clip.frames),
        "face found": found_rate(seen.found),
        "landmark error": landmark_error(seen.points, clip.landmarks, seen.found),
        "mouth correlation": mouth_correlation(seen.points, clip.landmarks, seen.found),
    }
