"""`adiff prepare`: records for training."""

import dataclasses
import functools
from pathlib import Path
from typing import Annotated, Literal

from adiff_jax.app.commands.base import Command, Positional
from adiff_jax.prep.options import Engine, PrepareOptions, RayOptions

Kind = Literal["auto", "celebv-hq", "celebv-text", "vfhq", "voxceleb1", "voxceleb2", "talkinghead-1kh", "hdtf"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepare(Command):
    """Makes records for training out of videos: shots, one face a clip, filters, landmarks, face crops, shards.

        adiff prepare clips --out records
        adiff prepare celebvhq_info.json --videos downloads --out records --workers 16
        adiff prepare records --out encoded --autoencoder runs/ae/export/autoencoder --clip runs/clip/export/clip

    What is left out is counted with its reason in OUT/report.html and OUT/report.json. An interrupted run goes on where
    it stopped. Folders may be addresses (gs://, s3://).

    Attributes:
        source: a folder of videos, in any depth; a manifest of a public data set, with --videos; synthetic:N[:SEED]; or
            records, to add latents and embeddings to.
        out: folder for the records.
        videos: folder of the videos that the manifest lists.
        kind: the manifest's format.
        texts: folder of captions, a text file ID.txt a clip.
        autoencoder: folder of a trained autoencoder, to store latents in the records too.
        clip: folder of a trained CLIP, to store its embeddings in the records too: of pictures, and of captions if
            modality.safetensors is in it, and its tokenizer beside it.
        identity: a recogniser, to store identity embeddings and to group clips into persons: drawn, real, or the folder
            of a trained one.
        workers: processes that read and draw clips.
        engine: local, or a Ray cluster (the extra `ray`).
        landmark_model: MediaPipe's face_landmarker.task; looked up if not given.
    """

    source: Annotated[str, Positional]
    out: str
    videos: str | None = None
    kind: Kind = "auto"
    texts: Path | None = None
    workers: int = 1
    engine: Engine = "local"
    autoencoder: Path | None = None
    clip: Path | None = None
    identity: str | None = None
    landmark_model: Path | None = None
    options: PrepareOptions = dataclasses.field(default_factory=PrepareOptions)
    ray: RayOptions = dataclasses.field(default_factory=RayOptions)

    def run(self) -> None:
        """Prepares and prints what became of the inputs."""
        from adiff_jax.app.encoders import load_encoders
        from adiff_jax.app.progress import progress_bar
        from adiff_jax.data.source import MANIFEST
        from adiff_jax.data.storage import Folder
        from adiff_jax.media.landmarks import LandmarkDetector
        from adiff_jax.prep.engine import PAGE, encode_records, prepare

        encoders = load_encoders(self.autoencoder, self.clip, self.identity)
        where = {"workers": self.workers, "engine": self.engine, "ray": self.ray}
        synthetic = self.source.startswith("synthetic:")
        if self.videos is None and not synthetic and Folder(self.source).exists(MANIFEST):
            make = functools.partial(encode_records, self.source, self.out, encoders, **where)
        else:
            make = functools.partial(
                prepare,
                self.source,
                self.out,
                self.options,
                videos=self.videos,
                kind=self.kind,
                texts=self.texts,
                encoders=encoders,
                detector=None if synthetic else LandmarkDetector(self.landmark_model),
                **where,
            )
        with progress_bar("preparing", "inputs") as progress:
            report = make(progress=progress)
        rejected = ", ".join(f"{count} {reason}" for reason, count in sorted(report.reasons.items()))
        print(f"{report.clips} clips in {self.out}; rejected: {rejected or 'none'}; see {self.out}/{PAGE}")
