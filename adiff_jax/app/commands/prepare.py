"""`adiff prepare`: records for training."""

import dataclasses
import functools
from pathlib import Path
from typing import Annotated

from adiff_jax.app.commands.base import Command, Positional


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepare(Command):
    """Makes records for training out of a folder of videos: landmarks, face crops, shards.

        adiff prepare clips --out records
        adiff prepare records --out encoded --autoencoder runs/ae/export/autoencoder --clip runs/clip/export/clip

    Attributes:
        folder: videos, in any depth; or synthetic:N[:SEED]; or records, to add latents and embeddings to.
        autoencoder: folder of a trained autoencoder, to store latents in the records too.
        clip: folder of a trained CLIP, to store its embeddings in the records too.
        out: folder for the records; an interrupted run goes on where it stopped.
        size: side of the face crops, in pixels.
        shortest: fewest frames of a clip; what is shorter is left out.
        longest: most frames of a clip; what is longer is cut.
        synthetic_fps: frames a second of drawn clips; fewer show more motion in as many frames.
        workers: processes that read and draw clips.
        landmark_model: MediaPipe's face_landmarker.task; looked up if not given.
    """

    folder: Annotated[str, Positional]
    out: Path
    size: int = 128
    shortest: int = 16
    longest: int = 64
    synthetic_fps: float = 25.0
    workers: int = 1
    autoencoder: Path | None = None
    clip: Path | None = None
    landmark_model: Path | None = None

    def run(self) -> None:
        """Prepares and prints what became of the inputs."""
        from adiff_jax.app.encoders import load_encoders
        from adiff_jax.app.progress import progress_bar
        from adiff_jax.data.source import MANIFEST
        from adiff_jax.media.landmarks import LandmarkDetector
        from adiff_jax.prep.engine import PrepareOptions, encode_records, prepare

        encoders = load_encoders(self.autoencoder, self.clip)

        if (Path(self.folder) / MANIFEST).is_file():
            make = functools.partial(encode_records, self.folder, self.out, encoders)
        else:
            options = PrepareOptions(
                size=self.size, shortest=self.shortest, longest=self.longest, synthetic_fps=self.synthetic_fps
            )
            synthetic = self.folder.startswith("synthetic:")
            detector = None if synthetic else LandmarkDetector(self.landmark_model)
            make = functools.partial(prepare, self.folder, self.out, options, encoders=encoders, detector=detector)
        with progress_bar("preparing", "inputs") as progress:
            report = make(workers=self.workers, progress=progress)
        rejected = ", ".join(f"{count} {reason}" for reason, count in sorted(report.reasons.items()))
        print(f"{report.clips} clips in {self.out}; rejected: {rejected or 'none'}")
