"""Is a personal bundle worth it? The end of the clips, against the bundle it came from and the nearest frames seen."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int, UInt8

from adiff_jax.app.inputs import Driving, load_driving
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
from adiff_jax.app.sheets import contact_sheet, pick_frames
from adiff_jax.evals.pictures import PSNR, SSIM, psnr, ssim
from adiff_jax.evals.report import Metric, Report
from adiff_jax.media.pictures import write_picture

PERSONAL, BEFORE, NEAREST = "personal bundle", "bundle before", "nearest frame of the training clips"
COLUMNS = 8

Frames = UInt8[np.ndarray, "F R R 3"]


@dataclasses.dataclass(frozen=True)
class Seen:
    """Clips in their face crops, one after the other; frames are read when they are asked for."""

    clips: Sequence[Driving]

    @classmethod
    def load(cls, pipeline: AnchoredDiffusionPipeline, clips: Sequence[Path], max_frames: int | None = None) -> "Seen":
        """Reads clips, or the first frames of each, as the pipeline does: the crop depends on the frames read.

        Raises:
            MediaError: a clip cannot be read or shows no face.
        """
        return cls(
            [load_driving(clip, pipeline.size, lambda: pipeline.detector, max_frames=max_frames) for clip in clips]
        )

    @functools.cached_property
    def points(self) -> Float32[np.ndarray, "F 478 3"]:
        """Landmarks in [-1, 1] of the crops."""
        return np.concatenate([clip.points for clip in self.clips])

    def frames(self, numbers: Int[np.ndarray, "N"] | None = None) -> Frames:
        """Frames by their numbers, or all."""
        numbers = np.arange(len(self.points)) if numbers is None else numbers
        wanted = set(numbers.tolist())
        every = enumerate(itertools.chain.from_iterable(clip.frames() for clip in self.clips))
        found = {number: frame for number, frame in every if number in wanted}
        return np.stack([found[number] for number in numbers.tolist()])

    def typical(self) -> UInt8[np.ndarray, "R R 3"]:
        """The frame whose landmarks are nearest to the mean."""
        return self.frames(nearest(self.points.mean(axis=0, keepdims=True), self.points))[0]


def nearest(points: Float32[np.ndarray, "F K 3"], among: Float32[np.ndarray, "N K 3"]) -> Int[np.ndarray, "F"]:
    """For each frame the one of `among` with the least mean distance of landmarks, in the plane of the picture."""
    distances = [np.linalg.norm(among[..., :2] - frame[:, :2], axis=-1).mean(axis=-1) for frame in points]
    return np.argmin(distances, axis=1)


def compare(
    personal: AnchoredDiffusionPipeline,
    before: AnchoredDiffusionPipeline,
    training: Sequence[Path],
    test: Sequence[Path],
    options: dict[str, object],
    picture: Path,
) -> Report:
    """Reenacts a training frame by the test clips, and measures the distance to what is true.

    Both bundles get the same picture, noise and options, and the clips' own landmarks: nothing is retargeted.

    Args:
        personal: with the trained models.
        before: with those they came from.
        training: clips that were trained on.
        test: clips that were not.
        options: of sampling.
        picture: where to write frames of all, one under the other (PNG).
    """
    seen, last = Seen.load(before, training), Seen.load(before, test)
    source, truth = seen.typical(), last.frames()
    videos = {
        PERSONAL: reenact(personal, source, test, options),
        BEFORE: reenact(before, source, test, options),
        NEAREST: seen.frames(nearest(last.points, seen.points)),
        f"{PERSONAL}, autoencoder of the true frames": np.stack(list(personal.decode(personal.encode(truth)))),
        f"{BEFORE}, autoencoder of the true frames": np.stack(list(before.decode(before.encode(truth)))),
    }
    chosen = pick_frames(len(truth), COLUMNS)
    rows = [truth, *list(videos.values())[:3]]
    write_picture(picture, contact_sheet([[frames[index] for index in chosen] for frames in rows]))
    return Report(
        title="Personal bundle on frames it has not seen",
        setting={
            "frames": f"{len(truth)} at the end of {len(test)} clips, {personal.size} x {personal.size}",
            "options": ", ".join(f"{key} {value}" for key, value in options.items()),
            "nearest frame": "by the mean distance of 478 landmarks, each in its own face crop",
            "the autoencoders' rows": "are what no sampling can surpass by much; nothing is sampled in them",
        },
        metrics=(Metric("PSNR", PSNR, ".2f", "higher"), Metric("SSIM", SSIM, ".4f", "higher")),
        rows={label: {"PSNR": psnr(frames, truth), "SSIM": ssim(frames, truth)} for label, frames in videos.items()},
    )


def reenact(
    pipeline: AnchoredDiffusionPipeline,
    source: UInt8[np.ndarray, "R R 3"],
    clips: Sequence[Path],
    options: dict[str, object],
) -> Frames:
    """The person of a picture with the landmarks of clips as they are."""
    videos = (pipeline.animate(source, clip, **options) for clip in clips)
    return np.concatenate([np.stack(list(video)) for video in videos])
