"""The commands of `adiff`: one dataclass each, whose fields are its options. Heavy imports only inside `run`."""

import dataclasses
import functools
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

Positional = tyro.conf.Positional
Dealing = Literal["contiguous", "strided", "random", "shifted"]
Share = Literal["first", "mean"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """What every command has.

    Attributes:
        debug: show the traceback of an error.
    """

    debug: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling(Command):
    """Options of sampling.

    Attributes:
        bundle: directory of a bundle, or the name of one in the package.
        steps: denoising steps.
        eta: randomness of the steps: 0 none (DDIM), 1 that of DDPM, which keeps frames alike far better.
        plan: how frames are dealt into groups.
        anchor: how the groups share the anchor frame: the first group's, or the mean over groups.
        guidance_clip: weight of the person's CLIP embedding; 1 is no guidance.
        guidance_landmarks: weight of the landmarks; 1 is no guidance.
        seed: of the noise.
        face: which face of source and driver, from 1, left to right; the largest by default.
        max_frames: use the first frames of the driver only.
        landmark_model: MediaPipe's face_landmarker.task; looked up if not given.
    """

    bundle: str = "synthetic-128"
    steps: int = 50
    eta: float = 1.0
    plan: Dealing = "shifted"
    anchor: Share = "first"
    guidance_clip: float = 1.5
    guidance_landmarks: float = 2.0
    seed: int = 0
    face: int | None = None
    max_frames: int | None = None
    landmark_model: Path | None = None

    def open_pipeline(self):
        """The pipeline of the chosen bundle."""
        from adiff_jax.app.pipeline import AnchoredDiffusionPipeline

        return AnchoredDiffusionPipeline.from_pretrained(self.bundle, landmark_model=self.landmark_model)

    def options(self) -> dict[str, object]:
        """Keyword arguments of `AnchoredDiffusionPipeline.reenact`."""
        same = ("eta", "plan", "anchor", "guidance_clip", "guidance_landmarks", "seed", "face", "max_frames")
        return {"num_inference_steps": self.steps, **{name: getattr(self, name) for name in same}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reenact(Sampling):
    """Makes the person in a picture move as the face in a video does.

    Writes OUT.mp4 with the driver's frames, frame rate and sound, OUT.side_by_side.mp4 and OUT.contact_sheet.png.

        adiff reenact --source portrait.jpg --driving talk.mp4 --out out.mp4

    Attributes:
        source: a picture with a face, or synthetic:SEED for a drawn person.
        driving: a video with a face, or synthetic:SEED for a drawn one.
        out: the video to write, *.mp4.
    """

    source: str
    driving: str
    out: Path

    def run(self) -> None:
        """Samples and exports."""
        from adiff_jax.app.export import export, output_files
        from adiff_jax.app.progress import progress_bar

        output_files(self.out)
        pipeline = self.open_pipeline()
        with progress_bar("sampling", "steps") as sampled, progress_bar("writing", "frames") as written:
            reenactment = pipeline.reenact(self.source, self.driving, **self.options(), progress=sampled)
            size = f"{pipeline.size} x {pipeline.size}"
            print(f"{len(reenactment)} frames at {size}, {self.steps} steps ...", file=sys.stderr)
            files = export(reenactment, self.out, progress=written)
        for path in files:
            print(path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demo(Reenact):
    """Reenacts a drawn person with what is in the package: no picture, no video, no network.

    adiff demo
    adiff demo --driving talk.mp4
    """

    source: str = "synthetic:7"
    driving: str = "synthetic:12"
    out: Path = Path("demo.mp4")


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Trains a model from a config; see `adiff train --help`. An entry in the list only: absl parses its options."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateReenact(Sampling):
    """Reenacts and measures: face found, landmarks, mouth, expression, pose, colours; prints the definitions.

        adiff evaluate reenact --source synthetic:7 --driving a.mp4 b.mp4 --max-frames 96 --out evaluation

    Attributes:
        driving: videos with a face, or synthetic:SEED.
        source: a picture with a face, or synthetic:SEED; drawn persons also get the rows of the true picture.
        out: folder for the table (Markdown and JSON) and the plots.
    """

    driving: tuple[str, ...]
    source: str = "synthetic:7"
    out: Path = Path("outputs/evaluation")

    def run(self) -> None:
        """Measures, prints and saves."""
        from adiff_jax.app.evaluation import evaluate_reenactment

        report = evaluate_reenactment(self.open_pipeline(), self.source, self.driving, self.out, self.options())
        print(report.markdown())


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateAutoencoder(Command):
    """Measures the autoencoder's reconstructions of drawn clips that training never saw; prints the definitions.

    Attributes:
        bundle: directory of a bundle, or the name of one in the package.
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
        from adiff_jax.app.evaluation import evaluate_autoencoder
        from adiff_jax.app.pipeline import AnchoredDiffusionPipeline

        pipeline = AnchoredDiffusionPipeline.from_pretrained(self.bundle, landmark_model=self.landmark_model)
        seeds = range(self.seed, self.seed + self.clips)
        print(evaluate_autoencoder(pipeline, seeds, self.frames, self.out).markdown())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measures a bundle; definitions are printed with the numbers."""

    what: (
        Annotated[EvaluateReenact, tyro.conf.subcommand("reenact")]
        | Annotated[EvaluateAutoencoder, tyro.conf.subcommand("autoencoder")]
    )

    @property
    def debug(self) -> bool:
        """That of the chosen evaluation."""
        return self.what.debug

    def run(self) -> None:
        """Runs the chosen evaluation."""
        self.what.run()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportCommand(Command):
    """What every import has.

    Attributes:
        source: the published model: a folder or file, or a repository of the Hugging Face hub (OWNER/NAME).
        out: folder to write the component into, which `adiff bundle` takes.
    """

    source: Annotated[str, Positional]
    out: Annotated[Path, Positional]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportAutoencoder(ImportCommand):
    """Takes over Stable Diffusion's autoencoder: diffusers' AutoencoderKL.

    adiff import autoencoder stabilityai/sd-vae-ft-mse imported
    """

    def run(self) -> None:
        """Converts, and prints the folder."""
        from adiff_jax.weights.import_autoencoder import import_autoencoder

        print(import_autoencoder(self.source, self.out))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportCLIP(ImportCommand):
    """Takes over OpenAI's CLIP with its tokenizer: transformers' CLIPModel.

    adiff import clip openai/clip-vit-large-patch14 imported
    """

    def run(self) -> None:
        """Converts, and prints the folder."""
        from adiff_jax.weights.import_clip import import_clip

        print(import_clip(self.source, self.out))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportDiT(ImportCommand):
    """Makes a DiT the beginning of an sDiT: a .pt file of facebookresearch/DiT, or diffusers' DiTTransformer2DModel.

        adiff import dit DiT-XL-2-256x256.pt imported
        adiff train --config configs/sdit.py:xl --config.init_from=imported/sdit --data data/latents --workdir runs/sdit

    Pickled files (.pt, .bin) need PyTorch (the extra `import`), and are read without executing anything in them.

    Attributes:
        num_frames: frames of a sequence.
        clip_dim: width of the CLIP embedding.
    """

    num_frames: int = 4
    clip_dim: int = 768

    def run(self) -> None:
        """Converts, and prints the folder."""
        from adiff_jax.weights.import_dit import import_dit

        print(import_dit(self.source, self.out, num_frames=self.num_frames, clip_dim=self.clip_dim))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Import:
    """Takes over published weights."""

    what: (
        Annotated[ImportAutoencoder, tyro.conf.subcommand("autoencoder")]
        | Annotated[ImportCLIP, tyro.conf.subcommand("clip")]
        | Annotated[ImportDiT, tyro.conf.subcommand("dit")]
    )

    @property
    def debug(self) -> bool:
        """That of the chosen import."""
        return self.what.debug

    def run(self) -> None:
        """Runs the chosen import."""
        self.what.run()


@dataclasses.dataclass(frozen=True, kw_only=True)
class MakeBundle(Command):
    """Puts trained models together to a bundle, which --bundle of other commands takes.

        adiff bundle --sdit sdit/export --autoencoder ae/export --clip clip/export --card CARD.md --out mine

    Attributes:
        sdit: folder with sdit/ and scheduler/: the export of a training run, or a bundle.
        autoencoder: folder with autoencoder/.
        clip: folder with clip/ and tokenizer/.
        card: text that says what it was trained on, how, and how well it does (Markdown).
        out: directory to make; its name becomes the bundle's.
        dtype: what weights are stored as; half precision halves the size.
    """

    sdit: Path
    autoencoder: Path
    clip: Path
    card: Path
    out: Path
    dtype: Literal["float32", "float16"] = "float16"

    def run(self) -> None:
        """Checks that the parts fit, and writes the bundle."""
        from adiff_jax.weights.bundle import Bundle

        card = self.card.read_text(encoding="utf-8")
        folders = {"sdit": self.sdit, "autoencoder": self.autoencoder, "clip": self.clip}
        Bundle.assemble(self.out.resolve().name, **folders, card=card).save(self.out, self.dtype)
        size = sum(path.stat().st_size for path in self.out.rglob("*") if path.is_file())
        print(f"{self.out}: {size / 1e6:.1f} MB")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Info(Command):
    """Prints the card of a bundle.

    Attributes:
        bundle: directory of a bundle, or the name of one in the package.
    """

    bundle: Annotated[str, Positional] = "synthetic-128"

    def run(self) -> None:
        """Prints the card, and where the bundle is."""
        from adiff_jax.weights.bundle import find_bundle

        folder = find_bundle(self.bundle)
        print((folder / "README.md").read_text(encoding="utf-8"))
        print(f"({folder})", file=sys.stderr)


AnyCommand = (
    Annotated[Reenact, tyro.conf.subcommand("reenact")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Prepare, tyro.conf.subcommand("prepare")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Import, tyro.conf.subcommand("import")]
    | Annotated[MakeBundle, tyro.conf.subcommand("bundle")]
    | Annotated[Info, tyro.conf.subcommand("info")]
)
