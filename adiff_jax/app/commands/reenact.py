"""`adiff reenact` and `adiff demo`."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adiff_jax.app.commands.base import DrivingFile, Making, OutFile, SourceFile
from adiff_jax.app.motion_options import MotionOptions

if TYPE_CHECKING:
    from adiff_jax.app.pipeline import AnchoredDiffusionPipeline, GeneratedVideo


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reenact(MotionOptions, Making):
    """Makes the person in a picture or a video move as the face in another video does.

    Writes OUT.mp4 with the driver's frames, frame rate and sound, OUT.side_by_side.mp4 and OUT.contact_sheet.png. If
    the source is a video, the result has its frames, at its rate.

        adiff reenact --source portrait.jpg --driving talk.mp4 --out out.mp4
        adiff reenact --source group.jpg --face 2 --driving talk.mp4 --out out.mp4 --paste-back
        adiff reenact --source speech.mp4 --driving dubbed.mp4 --region lips --paste-back --out out.mp4
        adiff reenact --source portrait.jpg --driving talk.mp4 --save-motion talk.safetensors --out out.mp4
        adiff reenact --source other.jpg --driving talk.safetensors --out other.mp4

    Attributes:
        source: a picture or video with a face, or synthetic:SEED for a drawn person.
        driving: a video with a face, a motion file of --save-motion, or synthetic:SEED for a drawn one.
        then: more videos, after whose motion the person goes on, in the same scene; they may be given later, with
            --resume, when the latents were kept.
        out: the video to write, *.mp4.
        pin_source: the source's picture is the anchor of all groups, which ties the result to its pixels;
            --no-pin-source makes a frame of the result the anchor, as in the paper.
        driver_face: which face of the driver, from 1, left to right; the largest by default.
        save_motion: file to write the driver's motion to (*.safetensors), which --driving takes in place of the video.
    """

    source: SourceFile
    driving: DrivingFile
    then: tuple[str, ...] = ()
    out: OutFile
    pin_source: bool = True
    driver_face: int | None = None
    save_motion: Path | None = None

    def run(self) -> None:
        """Samples and exports."""
        from adiff_jax.media.motion_file import check_name

        beside = [] if self.save_motion is None else [self.save_motion]
        for path in beside:
            check_name(path)
        inputs = [self.source, self.driving, *self.then]
        self.make(self.out, self._reenact, inputs=inputs, person=self.source, beside=beside)

    def _reenact(self, pipeline: "AnchoredDiffusionPipeline", **options: Any) -> "GeneratedVideo":
        motion = {field.name: getattr(self, field.name) for field in dataclasses.fields(MotionOptions)}
        more = {name: getattr(self, name) for name in ("pin_source", "driver_face", "save_motion")}
        video = pipeline.reenact(self.source, self.driving, **motion, **more, **options)
        keeping = {name: options[name] for name in ("max_frames", "smooth", "workdir", "resume", "progress")}
        for driving in self.then:
            video = pipeline.extend(video, driving, face=self.driver_face, **keeping)
        return video


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demo(Reenact):
    """Reenacts a drawn person with what is in the package: no picture, no video, no network.

    adiff demo
    adiff demo --driving talk.mp4
    """

    source: SourceFile = "synthetic:7"
    driving: DrivingFile = "synthetic:12"
    out: OutFile = Path("demo.mp4")
