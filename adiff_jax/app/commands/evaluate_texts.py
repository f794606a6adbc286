"""`adiff evaluate text | edit | reader`."""

import dataclasses
from pathlib import Path

from adiff_jax.app.commands.base import Command, Sampling, seeds_from, without
from adiff_jax.app.options import EditOptions, TextSamplingOptions

UNUSED = ("seed", "face", "smooth")  # of drawn people: the seed is theirs, and so are the face and its landmarks


@without(*UNUSED)
@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateText(TextSamplingOptions, Sampling):
    """Do videos show what their texts say: animates captions of drawn people, and reads attributes off the videos.

    Every video is kept as it is measured: interrupted, the same command goes on. The seed of the noise is the person's.

    Attributes:
        identities: number of people.
        first_identity: seed of the first; below 1,000,000 are those that training never sees.
        max_frames: frames of each video.
        out: folder for the table (Markdown and JSON).
    """

    identities: int = 50
    first_identity: int = 800_000
    max_frames: int | None = 16
    out: Path = Path("outputs/evaluation")

    def run(self) -> None:
        """Makes, measures, prints and saves."""
        from adiff_jax.app.evaluation.texts import evaluate_texts
        from adiff_jax.app.progress import progress_bar
        from adiff_jax.evals.attributes import AttributeReader

        options = self.options()
        frames = options.pop("max_frames") or 16
        seeds = seeds_from(self.first_identity, self.identities, "identities")
        with progress_bar("evaluating", "videos") as progress:
            report = evaluate_texts(
                self.open_pipeline(), AttributeReader.load(), seeds, frames, self.out, options, progress
            )
        print(report.markdown())


@without(*UNUSED)
@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateEdit(EditOptions, TextSamplingOptions, Sampling):
    """Changes the hair of drawn people by a text, and measures what changed and what should not have.

    Every video is kept as it is measured: interrupted, the same command goes on. The seed of the noise is the person's.

    Attributes:
        origin: colour of hair of the people who are changed.
        target: colour that the text asks for.
        identities: number of people.
        first_identity: seed from which people are looked for; below 1,000,000 training never sees them.
        max_frames: frames of each video.
        out: folder for the table (Markdown and JSON).
    """

    origin: str = "red"
    target: str = "black"
    identities: int = 50
    first_identity: int = 850_000
    max_frames: int | None = 16
    out: Path = Path("outputs/evaluation")

    def run(self) -> None:
        """Makes, measures, prints and saves."""
        from adiff_jax.app.evaluation.texts import evaluate_edits, people_with_hair
        from adiff_jax.app.progress import progress_bar
        from adiff_jax.data.synthetic.people import HAIR_COLOURS
        from adiff_jax.evals.attributes import AttributeReader

        for colour in (self.origin, self.target):
            if colour not in HAIR_COLOURS:
                raise ValueError(f"unknown colour of hair {colour!r}: choose one of {', '.join(HAIR_COLOURS)}")
        options = self.options() | {"strength": self.strength, "prompt_strength": self.text_strength}
        frames = options.pop("max_frames") or 16
        seeds = people_with_hair(self.origin, self.identities, self.first_identity)
        with progress_bar("evaluating", "videos") as progress:
            report = evaluate_edits(
                self.open_pipeline(), AttributeReader.load(), seeds, self.target, frames, self.out, options, progress
            )
        print(report.markdown())


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateReader(Command):
    """Measures how well attributes are read off true pictures of drawn people; with --data, fits a new reader first.

        adiff evaluate reader --data synthetic:8000:3000000 --out outputs/reader

    Attributes:
        data: drawn people to fit a reader to, a folder of records or synthetic:N[:SEED]; it is saved as
            drawn_attributes.safetensors. By default the one in the package is measured.
        people: number of people.
        first_identity: seed of the first; below 1,000,000 are those that training never sees.
        size: side of the pictures in pixels.
        out: folder for the table (Markdown and JSON).
    """

    data: str | None = None
    people: int = 200
    first_identity: int = 400_000
    size: int = 128
    out: Path = Path("outputs/evaluation")

    def run(self) -> None:
        """Fits, measures, prints and saves."""
        from adiff_jax.app.evaluation.reader import evaluate_reader, fit_reader
        from adiff_jax.app.progress import progress_bar
        from adiff_jax.data.source import open_source
        from adiff_jax.evals.attributes import SHIPPED, AttributeReader

        seeds = seeds_from(self.first_identity, self.people, "people")
        if self.data is None:
            reader = AttributeReader.load()
        else:
            with progress_bar("reading", "clips") as progress:
                reader = fit_reader(open_source(self.data, size=self.size), progress)
            self.out.mkdir(parents=True, exist_ok=True)
            reader.save(self.out / SHIPPED.name)
        print(evaluate_reader(reader, seeds, self.size, self.out).markdown())
