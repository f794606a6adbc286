"""What commands share: the options of every command, and those of sampling."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from adiff_jax.app.marking import MarkingOptions
from adiff_jax.app.options import SamplingOptions

if TYPE_CHECKING:
    from adiff_jax.app.pipeline import GeneratedVideo

Positional = tyro.conf.Positional
SourceFile = Annotated[str, tyro.conf.arg(aliases=("-s",))]
DrivingFile = Annotated[str, tyro.conf.arg(aliases=("-d",))]
OutFile = Annotated[Path, tyro.conf.arg(aliases=("-o",))]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """What every command has.

    Attributes:
        debug: show the traceback of an error.
    """

    debug: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling(Command, SamplingOptions):
    """Options of every command that samples.

    Attributes:
        bundle: directory of a bundle, the name of one in the package, or OWNER/NAME on the Hugging Face hub.
        face: which face of the picture or video, from 1, left to right; the largest by default.
        max_frames: use the first frames of videos only.
        smooth: landmarks of videos are smoothed over time by a One-Euro filter; --no-smooth takes them as found.
        landmark_model: MediaPipe's face_landmarker.task; looked up if not given.
    """

    bundle: str = "synthetic-128"
    face: int | None = None
    max_frames: int | None = None
    smooth: bool = True
    landmark_model: Path | None = None

    def open_pipeline(self):
        """The pipeline of the chosen bundle."""
        from adiff_jax.app.pipeline import AnchoredDiffusionPipeline

        return AnchoredDiffusionPipeline.from_pretrained(self.bundle, landmark_model=self.landmark_model)

    def options(self) -> dict[str, object]:
        """Keyword arguments of the pipeline's methods."""
        names = [field.name for field in dataclasses.fields(SamplingOptions)]
        return {name: getattr(self, name) for name in (*names, "face", "max_frames", "smooth")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Making(MarkingOptions, Sampling):
    """Options of every command that makes a video for people to see.

    Attributes:
        resume: go on with what an interrupted run of the same command left beside the output.
        keep_latents: leave the latents beside the output, in OUT.latents, also when the video is finished.
    """

    resume: bool = False
    keep_latents: bool = False

    def make(
        self,
        out: Path,
        call: Callable[..., "GeneratedVideo"],
        *,
        inputs: Sequence[str],
        person: str | None = None,
        beside: Sequence[Path] = (),
    ) -> None:
        """Makes a video and exports it; prints the files.

        Args:
            out: where to, *.mp4.
            call: a method of the pipeline; gets the pipeline, and the options as keyword arguments.
            inputs: pictures and videos that go in, which no output may replace.
            person: the picture or video of the person who is animated, whose consent is needed if it is a real one.
            beside: what `call` writes.
        """
        from adiff_jax.app.export import export, output_files
        from adiff_jax.app.progress import progress_bar
        from adiff_jax.media.files import keep_inputs

        keep_inputs(inputs, [*output_files(out), *beside])
        workdir = out.with_suffix(".latents")
        identity = self.identity()
        consent = self.consent(person)
        pipeline = self.open_pipeline()
        with progress_bar("sampling", "steps") as sampled, progress_bar("writing", "frames") as written:
            video = call(pipeline, **self.options(), workdir=workdir, resume=self.resume, progress=sampled)
            size = f"{pipeline.size} x {pipeline.size}"
            print(f"{len(video)} frames at {size}, {self.num_inference_steps} steps ...", file=sys.stderr)
            try:
                files = export(video, out, progress=written, label=self.label, identity=identity, consent=consent)
            except KeyboardInterrupt:
                print(f"what is finished is in {workdir}: go on with --resume", file=sys.stderr)
                raise
        if not self.keep_latents:
            video.latents.remove()
        for path in files:
            print(path)


def without(*names: str) -> Callable[[type], type]:
    """Decorates a command: these options of its bases are none of its own, and keep their defaults."""

    def hide(command: type) -> type:
        types = {field.name: field.type for field in dataclasses.fields(command)}
        command.__annotations__ |= {name: Annotated[types[name], tyro.conf.Suppress] for name in names}
        return command

    return hide


def seeds_from(first: int, count: int, option: str) -> range:
    """`count` seeds of drawn people or clips.

    Raises:
        ValueError: there are none; the message names the option that says how many.
    """
    if count < 1:
        raise ValueError(f"{option} must be at least 1, not {count}")
    return range(first, first + count)
