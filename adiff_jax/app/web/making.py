"""Does a job with the pipeline; runs in the worker's process."""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from adiff_jax.app.consent import Consent
from adiff_jax.app.export import export
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline, GeneratedVideo
from adiff_jax.app.progress import Progress
from adiff_jax.app.sheets import side_by_side
from adiff_jax.app.web.jobs import Advance, Done, Job

DRAFT_STEPS = 4  # where the video itself has more than twice as many
PREVIEW_EVERY = 1.0  # seconds

Send = Callable[[Advance], None]


def make(pipeline: AnchoredDiffusionPipeline, job: Job, send: Send) -> Done:
    """Makes and exports a video.

    First comes a draft of its first frames, with few steps, to be looked at meanwhile; then frames as they are written.

    Args:
        pipeline: what makes it.
        job: what to make.
        send: takes reports.

    Raises:
        MediaError: an input cannot be read or shows no face.
        ValueError: an option is out of range.
    """
    send(Advance("Looking at the inputs", 0, 1))
    with tempfile.TemporaryDirectory() as folder:
        if job.options["num_inference_steps"] > 2 * DRAFT_STEPS:
            few = min(pipeline.bundle.sdit.num_frames, job.options["max_frames"])
            changes = {"num_inference_steps": DRAFT_STEPS, "max_frames": few}
            if job.action == "reenact":
                changes["paste_back"] = False  # the face is what there is to look at
            draft = _generate(pipeline, job, workdir=Path(folder, "draft"), **changes)
            send(Advance("Drafting", 1, 1, side_by_side(*draft)))

        def sampled(done: int, total: int) -> None:
            send(Advance("Sampling", done, total))

        video = _generate(pipeline, job, workdir=Path(folder, "video"), progress=sampled)
        watch = Watch(video, send)
        consent = Consent.now("declared on the web page") if job.consent else None
        return Done(*export(watch.video, job.out, progress=watch.progress, consent=consent))


class Watch:
    """Shows frames of a video while they are written.

    Attributes:
        video: the same video, watched.
    """

    def __init__(self, video: GeneratedVideo, send: Send):
        self._decode, self._send = video.decode, send
        self._last, self._shown = None, 0.0
        self.video = dataclasses.replace(video, decode=self._watched)

    @property
    def progress(self) -> Progress:
        """Reports the frames written, at times with the last one."""

        def report(done: int, total: int) -> None:
            now = time.monotonic()
            show = now - self._shown > PREVIEW_EVERY or done == total
            if show:
                self._shown = now
            self._send(Advance("Writing", done, total, self._last if show else None))

        return report

    def _watched(self, latents: Any) -> Iterator[UInt8[np.ndarray, "R R 3"]]:
        for frame in self._decode(latents):
            self._last = frame
            yield frame


def _generate(pipeline: AnchoredDiffusionPipeline, job: Job, **changes: Any) -> GeneratedVideo:
    options = job.options | changes
    match job.action:
        case "reenact":
            return pipeline.reenact(job.source, job.driving, **options)
        case "animate":
            return pipeline.animate(job.text, job.driving, **options)
        case "edit":
            return pipeline.edit(job.source, job.text, **options)
