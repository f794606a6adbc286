"""`python -m launch.gallery`: the paper's figures 1 and 4 from a bundle, as pictures.

    python -m launch.gallery
    python -m launch.gallery --bundle mine --source portrait.jpg --driving talk.mp4 --steps 100 --out outputs/gallery

`figure1.png`: a driver, and below it what the pipeline makes of it: a picture animated, texts animated, the driver
edited by words. `figure4.png`: a video by anchored diffusion and by MultiDiffusion, with the same noise. Both are
labelled and signed as every video is.
"""

import dataclasses
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from adiff_jax.app.export import ingredients_of
from adiff_jax.app.manifest import sign
from adiff_jax.app.marking import MarkingOptions
from adiff_jax.app.options import SamplingOptions
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline, GeneratedVideo
from adiff_jax.app.provenance import Claim, stamp
from adiff_jax.app.sheets import contact_sheet, pick_frames

Picture = UInt8[np.ndarray, "R R 3"]
LABEL_WIDTH = 1.6  # of a picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gallery(MarkingOptions):
    """Figures from a bundle.

    Attributes:
        bundle: directory of a bundle, or the name of one in the package.
        source: a picture with a face, or synthetic:SEED for a drawn person.
        driving: a video with a face, or synthetic:SEED for a drawn one.
        texts: people to be animated, in words.
        edits: changes of the driver, in words.
        origin: what the driver shows, in words like those.
        steps: denoising steps.
        frames: frames of the videos, of which figure 1 shows `columns`.
        columns: pictures in a row of figure 1; figure 4 shows 12.
        seed: of the noise.
        landmark_model: MediaPipe's face_landmarker.task; looked up if not given.
        out: folder for the figures.
    """

    bundle: str = "synthetic-128"
    source: str = "synthetic:7"
    driving: str = "synthetic:12"
    texts: tuple[str, ...] = (
        "a young woman with long red hair in a green sweater",
        "portrait of a man with short black hair and glasses",
    )
    edits: tuple[str, ...] = ("a woman with blond hair",)
    origin: str | None = "a woman with black hair"
    steps: int = SamplingOptions.num_inference_steps
    frames: int = 48
    columns: int = 8
    seed: int = 0
    landmark_model: Path | None = None
    out: Path = Path("outputs/gallery")

    def run(self) -> None:
        """Samples, draws, prints the files."""
        consents = {name: self.consent(name) for name in (self.source, self.driving)}
        identity = self.identity()
        pipeline = AnchoredDiffusionPipeline.from_pretrained(self.bundle, landmark_model=self.landmark_model)
        self.out.mkdir(parents=True, exist_ok=True)
        for name, make in (("figure1", self.figure1), ("figure4", self.figure4)):
            rows, videos = make(pipeline)
            shown = (self.driving if video.action == "edited" else self.source for video in videos)
            ingredients = dict.fromkeys(
                item for video, person in zip(videos, shown) for item in ingredients_of(video, consents[person])
            )
            claim = Claim("sampled for a figure", pipeline.bundle.name, tuple(ingredients), videos[0].digests)
            path = self.out / f"{name}.png"
            with tempfile.TemporaryDirectory(dir=self.out) as folder:
                draft, signed = Path(folder) / "draft.png", Path(folder) / "signed.png"
                comment = PngImagePlugin.PngInfo()
                comment.add_text("Comment", claim.sentence())
                Image.fromarray(labelled_rows(rows)).save(draft, pnginfo=comment)
                sign(draft, signed, claim, identity)
                signed.replace(path)
            print(path)

    def figure1(self, pipeline: AnchoredDiffusionPipeline) -> tuple[dict[str, list[Picture]], list[GeneratedVideo]]:
        """Rows of pictures by their titles, and the videos that they are of."""
        options = self._options()
        videos = {"image to video": pipeline.reenact(self.source, self.driving, **options)}
        videos |= {f"“{text}”": pipeline.animate(text, self.driving, **options) for text in self.texts}
        changes = options | {"origin": self.origin}
        videos |= {f"edited: “{text}”": pipeline.edit(self.driving, text, **changes) for text in self.edits}
        chosen = pick_frames(len(videos["image to video"]), self.columns)
        driving = videos["image to video"].driving
        rows = {"driver": [frame for index, frame in enumerate(driving.frames()) if index in chosen]}
        for title, video in videos.items():
            rows[title] = self._frames(title, video, chosen)
        first = [np.full_like(rows["driver"][0], 255) for _ in rows]
        first[1] = videos["image to video"].source.picture
        return {title: [head, *row] for head, (title, row) in zip(first, rows.items())}, list(videos.values())

    def figure4(self, pipeline: AnchoredDiffusionPipeline) -> tuple[dict[str, list[Picture]], list[GeneratedVideo]]:
        """Rows of pictures by their titles, and the videos that they are of."""
        videos = {
            title: pipeline.reenact(self.source, self.driving, method=method, pin_source=False, **self._options())
            for title, method in (("anchored", "anchored"), ("MultiDiffusion", "multidiffusion"))
        }
        chosen = pick_frames(len(videos["anchored"]), 12)
        driving = videos["anchored"].driving
        rows = {"driver": [frame for index, frame in enumerate(driving.frames()) if index in chosen]}
        return rows | {title: self._frames(title, video, chosen) for title, video in videos.items()}, list(
            videos.values()
        )

    def _options(self) -> dict[str, int]:
        return {"num_inference_steps": self.steps, "max_frames": self.frames, "seed": self.seed}

    def _frames(self, title: str, video: GeneratedVideo, chosen: Sequence[int]) -> list[Picture]:
        print(f"{title}: {len(video)} frames, {self.steps} steps ...", file=sys.stderr)
        frames = [frame for index, frame in enumerate(video) if index in chosen]
        return [stamp(frame) if self.label else frame for frame in frames]


def labelled_rows(rows: dict[str, list[Picture]]) -> UInt8[np.ndarray, "Y X 3"]:
    """A sheet of rows, each with its title to the left of it."""
    sheet = contact_sheet(list(rows.values()))
    pitch = (sheet.shape[0] + 2) // len(rows)
    titles = Image.new("RGB", (round(LABEL_WIDTH * pitch), sheet.shape[0]), "white")
    draw = ImageDraw.Draw(titles)
    font = ImageFont.load_default(size=max(9, pitch // 9))
    for row, title in enumerate(rows):
        words = "\n".join(_wrapped(title, draw, font, titles.width - 8))
        draw.multiline_text((4, (row + 0.5) * pitch), words, fill="black", font=font, anchor="lm")
    return np.concatenate([np.asarray(titles), sheet], axis=1)


def _wrapped(text: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, width: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and draw.textlength(f"{line} {word}", font) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line


if __name__ == "__main__":
    tyro.cli(Gallery, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,)).run()
