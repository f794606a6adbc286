"""The Python API: load a bundle; reenact, animate, edit.

    source ──► face crop ──► CLIP ─────────────┐
                  └─► neutral shape ─┐         ▼
    driver ──► landmarks ──► retarget ──► anchored sampling ──► latents ──► decode ──► frames

`core` is the pipeline, `networks` its models as functions, `latents` what a video is made of, chunk by chunk by
`sampler` and kept by `store`, `video` what comes out.
"""

from adiff_jax.app.options import SamplingOptions
from adiff_jax.app.pipeline.core import AnchoredDiffusionPipeline
from adiff_jax.app.pipeline.networks import DECODE_BATCH
from adiff_jax.app.pipeline.video import GeneratedVideo

__all__ = ["DECODE_BATCH", "AnchoredDiffusionPipeline", "GeneratedVideo", "SamplingOptions"]
