"""`adiff evaluate`: reenact, consistency, autoencoder, identity; `evaluate_texts` has text, edit, reader."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from adiff_jax.app.commands.base import Command, Sampling, seeds_from, without
from adiff_jax.app.commands.evaluate_texts import EvaluateEdit, EvaluateReader, EvaluateText
from adiff_jax.app.marking import MarkingOptions
from adiff_jax.app.options import SamplingOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateReenact(MarkingOptions, Sampling):
    """Reenacts and measures: face found, landmarks, mouth, expression, pose, colours; prints the definitions.

        adiff evaluate reenact --source synthetic:7 --driving a.mp4 b.mp4 --max-frames 96 --out evaluation
        adiff evaluate reenact --source self --driving a.mp4 b.mp4 --also csim lpips fid fvd
        adiff evaluate reenact --source synthetic:1 synthetic:2 synthetic:3 --driving a.mp4 b.mp4

    Attributes:
        driving: videos with a face, or synthetic:SEED. Sources and drivers are paired in turn, the fewer of both again
            and again.
        source: pictures with a face, or synthetic:SEED; drawn persons also get the rows of the true picture. `self` is
            self-reenactment: the first frame of each driver, or its drawn person.
        pin_source: see `adiff reenact`.
        also: metrics that need published networks, which are downloaded if they are not there: csim (identity; of drawn
            people the package has its network), lpips, fid, fvd. The last three need the extra `eval`.
        networks: folder with the networks' files; by default $ADIFF_METRIC_NETWORKS or the cache.
        out: folder for the table (Markdown and JSON) and the plots.
    """

    driving: tuple[str, ...]
    source: tuple[str, ...] = ("synthetic:7",)
    pin_source: bool = True
    also: tuple[Literal["csim", "lpips", "fid", "fvd"], ...] = ()
    networks: Path | None = None
    out: Path = Path("outputs/evaluation")

    def run(self) -> None:
        """Measures, prints and saves."""
        from adiff_jax.app.evaluation.extras import Extras
        from adiff_jax.app.evaluation.reenactment import evaluate_reenactment, persons_shown

        marking = {
            "label": self.label,
            "identity": self.identity(),
            "consents": {person: self.consent(person) for person in persons_shown(self.source, self.driving)},
        }
        extras = Extras(self.also, self.networks)
        options = self.options() | {"pin_source": self.pin_source}
        if self.source == ("self",):
            options["driver_face"] = self.face
        report = evaluate_reenactment(
            self.open_pipeline(), self.source, self.driving, self.out, options, extras, **marking
        )
        print(report.markdown())


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateAutoencoder(Command):
    """Measures the autoencoder's reconstructions of drawn clips that training never saw; prints the definitions.

    Attributes:
        bundle: directory of a bundle, the name of one in the package, or OWNER/NAME on the Hugging Face hub.
        clips: number of clips.
        frames: frames of each.
        seed: of the first clip.
        out: folder for the table (Markdown and JSON).
        landmark_model: MediaPipe's face_landmarker.task; looked up if not given.
    """

    bundle: str = "synthetic-128"
    clips: int = 8
    frames: int = 48
    seed: int = 500_000
    out: Path = Path("outputs/evaluation")
    landmark_model: Path | None = None

    def run(self) -> None:
        """Measures, prints and saves."""
        from adiff_jax.app.evaluation.autoencoder import evaluate_autoencoder
        from adiff_jax.app.pipeline import AnchoredDiffusionPipeline

        seeds = seeds_from(self.seed, self.clips, "clips")
        pipeline = AnchoredDiffusionPipeline.from_pretrained(self.bundle, landmark_model=self.landmark_model)
        print(evaluate_autoencoder(pipeline, seeds, self.frames, self.out).markdown())


COMPARED = ("method", "plan", "anchor", "overlap", "seed")  # what the compared methods, and the people, decide


@without(*COMPARED)
@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConsistency(Command, SamplingOptions):
    """Compares ways to make long videos: does the person stay the same, against length (the paper's figure 5).

    Makes videos of drawn people that training never saw, each moved by its own motion, and writes tables (Markdown and
    JSON), plots and a contact sheet. Every video is kept as it is measured: interrupted, the same command goes on.

        adiff evaluate consistency --lengths 13 25 49 97 193 --identities 50 --out outputs/consistency

    The seed of the noise is the person's.

    Attributes:
        bundle: directory of a bundle, the name of one in the package, or OWNER/NAME on the Hugging Face hub.
        lengths: numbers of frames.
        identities: number of people.
        first_identity: seed of the first; below 1,000,000 are those that training never sees.
        methods: what is compared: pinned (shifted groups around the source's picture), shifted, contiguous, strided,
            random, shifted-mean, contiguous-mean, shifted-eta-0, shifted-first-frame, multidiffusion,
            multidiffusion-half, independent, autoregressive.
        landmarks: how well landmarks are met is measured by MediaPipe; --no-landmarks leaves that out.
        sheets: number of people in the contact sheet, at the longest length.
        identity_network: folder of another identity network, as `configs/identity.py` trains it.
        out: folder for tables, plots and what was measured.
        landmark_model: MediaPipe's face_landmarker.task; looked up if not given.
    """

    bundle: str = "synthetic-128"
    lengths: tuple[int, ...] = (13, 25, 49, 97, 193)
    identities: int = 50
    first_identity: int = 700_000
    methods: tuple[str, ...] = ("pinned", "shifted", "contiguous", "multidiffusion", "independent", "autoregressive")
    landmarks: bool = True
    sheets: int = 2
    identity_network: Path | None = None
    out: Path = Path("outputs/consistency")
    landmark_model: Path | None = None

    def run(self) -> None:
        """Makes, measures, prints and saves."""
        from adiff_jax.app.evaluation.consistency import ConsistencyPlan, evaluate_consistency
        from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
        from adiff_jax.app.progress import progress_bar
        from adiff_jax.evals.identity import DRAWN, drawn_recogniser

        shared = (field.name for field in dataclasses.fields(SamplingOptions) if field.name not in COMPARED)
        plan = ConsistencyPlan(
            lengths=self.lengths,
            seeds=tuple(range(self.first_identity, self.first_identity + self.identities)),
            contenders=self.methods,
            options={name: getattr(self, name) for name in shared},
            landmarks=self.landmarks,
            sheets=self.sheets,
        )
        pipeline = AnchoredDiffusionPipeline.from_pretrained(self.bundle, landmark_model=self.landmark_model)
        recogniser = drawn_recogniser(self.identity_network or DRAWN)
        with progress_bar("evaluating", "videos") as progress:
            reports = evaluate_consistency(pipeline, recogniser, plan, self.out, progress)
        for report in reports:
            print(report.markdown())


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateIdentity(Command):
    """Measures how well the identity network tells drawn people apart that it was never trained on.

    Attributes:
        bundle: whose autoencoder the pictures go through in the second row: directory of a bundle, the name of one in
            the package, or OWNER/NAME on the Hugging Face hub.
        people: number of people.
        pictures: number of pictures of each, at random times of their clips.
        first_identity: seed of the first; below 1,000,000 are those that training never sees.
        identity_network: folder of another identity network, as `configs/identity.py` trains it.
        out: folder for the table (Markdown and JSON).
    """

    bundle: str = "synthetic-128"
    people: int = 200
    pictures: int = 4
    first_identity: int = 500_000
    identity_network: Path | None = None
    out: Path = Path("outputs/evaluation")

    def run(self) -> None:
        """Measures, prints and saves."""
        from adiff_jax.app.evaluation.identity import evaluate_identity
        from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
        from adiff_jax.evals.identity import DRAWN, drawn_recogniser

        seeds = seeds_from(self.first_identity, self.people, "people")
        pipeline = AnchoredDiffusionPipeline.from_pretrained(self.bundle)
        recogniser = drawn_recogniser(self.identity_network or DRAWN)
        print(evaluate_identity(pipeline, recogniser, seeds, self.pictures, self.out).markdown())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measures a bundle; definitions are printed with the numbers."""

    what: (
        Annotated[EvaluateReenact, tyro.conf.subcommand("reenact")]
        | Annotated[EvaluateConsistency, tyro.conf.subcommand("consistency")]
        | Annotated[EvaluateAutoencoder, tyro.conf.subcommand("autoencoder")]
        | Annotated[EvaluateText, tyro.conf.subcommand("text")]
        | Annotated[EvaluateEdit, tyro.conf.subcommand("edit")]
        | Annotated[EvaluateIdentity, tyro.conf.subcommand("identity")]
        | Annotated[EvaluateReader, tyro.conf.subcommand("reader")]
    )

    @property
    def debug(self) -> bool:
        """That of the chosen evaluation."""
        return self.what.debug

    def run(self) -> None:
        """Runs the chosen evaluation."""
        self.what.run()
