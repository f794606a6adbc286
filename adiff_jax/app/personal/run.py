"""Clips in, a person's bundle out."""

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from adiff_jax.app.encoders import load_encoders
from adiff_jax.app.personal.comparison import Frames, Seen, compare, reenact
from adiff_jax.app.personal.configs import decoder_config, sdit_config
from adiff_jax.app.personal.footage import Footage, cut_footage
from adiff_jax.app.personal.options import PersonaliseOptions
from adiff_jax.app.personal.rounds import Course, train_in_rounds
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
from adiff_jax.app.sheets import contact_sheet, pick_frames
from adiff_jax.evals.pictures import psnr
from adiff_jax.evals.report import Report
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.media.pictures import write_picture
from adiff_jax.models.autoencoder import AutoencoderConfig
from adiff_jax.models.sdit import SDiTConfig
from adiff_jax.prep.engine import prepare
from adiff_jax.prep.options import PrepareOptions
from adiff_jax.weights.bundle import Bundle, find_bundle, load_component, refuse_existing

LOOK_FRAMES = 16
LOOK = {"num_inference_steps": 10, "guidance_clip": 1.0, "guidance_landmarks": 1.0}
TEST = {"num_inference_steps": 25, "guidance_clip": 1.0, "guidance_landmarks": 1.0}
COLUMNS = 8


def personalise(
    clips: Sequence[Path],
    out: Path,
    base: str,
    workdir: Path,
    options: PersonaliseOptions,
    *,
    landmark_model: Path | None = None,
    tell: Callable[[str], None],
) -> Report:
    """Trains a bundle's decoder and sDiT further on clips of one person.

    Everything that is made on the way is in `workdir`: the cut clips, records, runs of the loop, and `previews/`, a
    picture for each look at the held-out frames. Called again after an interruption, it goes on from there.

    Args:
        clips: videos that show the person.
        out: the bundle to make, with `comparison.png` and the report in its card.
        base: the bundle to begin with.
        workdir: made if it is not there.
        options: see there.
        landmark_model: MediaPipe's FaceLandmarker file; None looks it up.
        tell: takes lines for the user.

    Returns:
        The test of the bundle.

    Raises:
        MediaError: a clip cannot be read, shows no face, or is too short.
        RecordError: no clip passed the filters of preparation.
        ValueError: an option is out of range, `out` exists, or `workdir` was made for another purpose.
        Stopped: by SIGINT or SIGTERM in training; call again to go on.
    """
    refuse_existing(out)
    folder = find_bundle(base)
    before = AnchoredDiffusionPipeline.from_pretrained(folder, landmark_model=landmark_model)
    workdir.mkdir(parents=True, exist_ok=True)
    if jax.config.jax_compilation_cache_dir is None:  # each round compiles the same programs
        jax.config.update("jax_compilation_cache_dir", str((workdir / "compiled").resolve()))

    tell("cutting the clips ...")
    footage = cut_footage(clips, workdir / "clips", options.held_out, options.test)
    tell(f"{footage.frames[0]} frames for training, {footage.frames[1]} held out, {footage.frames[2]} for the test")
    looks = Looks(before, footage, workdir / "previews", landmark_model)
    records = make_records(footage, folder, workdir / "records", before, landmark_model)

    pace = {"steps": options.every, "patience": options.patience, "tell": tell}
    seconds = 60 * options.minutes
    decoder, decoder_course = train_in_rounds(
        decoder_config(before.bundle, records, options),
        workdir / "decoder",
        "autoencoder",
        folder / "autoencoder",
        looks.at_decoder,
        seconds=options.decoder_share * seconds,
        **pace,
    )
    looks.use_decoder(decoder)
    sdit, sdit_course = train_in_rounds(
        sdit_config(before.bundle, folder, records, options),
        workdir / "sdit",
        "sdit",
        folder / "sdit",
        looks.at_sdit,
        seconds=seconds - decoder_course.seconds,
        **pace,
    )

    tell("testing ...")
    bundle = assembled(before.bundle, out.resolve().name, decoder, sdit)
    personal = AnchoredDiffusionPipeline(bundle, landmark_model)
    picture = workdir / "comparison.png"
    report = compare(personal, before, footage.training, footage.test, TEST, picture)
    report.save(workdir, "comparison")
    card = write_card(bundle.name, before.bundle, clips, footage, options, decoder_course, sdit_course, report)
    save(dataclasses.replace(bundle, card=card), picture, out)
    return report


def make_records(
    footage: Footage, folder: Path, records: Path, pipeline: AnchoredDiffusionPipeline, landmark_model: Path | None
) -> Path:
    """Records of the training parts, with the latents and embeddings of the bundle in `folder`."""
    prepare(
        footage.training[0].parent,
        records,
        PrepareOptions(size=pipeline.size),
        encoders=load_encoders(folder / "autoencoder", folder / "clip"),
        detector=LandmarkDetector(landmark_model),
    )
    return records


def assembled(base: Bundle, name: str, decoder: Path, sdit: Path) -> Bundle:
    """The bundle with these components in the place of its own."""
    autoencoder, autoencoder_params = load_component(decoder, AutoencoderConfig)
    transformer, sdit_params = load_component(sdit, SDiTConfig)
    return dataclasses.replace(
        base,
        name=name,
        autoencoder=autoencoder,
        autoencoder_params=autoencoder_params,
        sdit=transformer,
        sdit_params=sdit_params,
    )


class Looks:
    """Looks at the held-out frames: how well are they met, and what does it look like?

    Args:
        pipeline: with the bundle that training begins with.
        footage: the clips.
        previews: folder for pictures; made if it is not there.
        landmark_model: of the pipelines.
    """

    def __init__(
        self, pipeline: AnchoredDiffusionPipeline, footage: Footage, previews: Path, landmark_model: Path | None
    ):
        self._bundle = pipeline.bundle
        self._landmark_model = landmark_model
        self._clips = footage.held_out
        self._each = max(1, LOOK_FRAMES // len(footage.held_out))
        self._previews = previews
        previews.mkdir(exist_ok=True)
        self._source = Seen.load(pipeline, footage.training[:1]).typical()
        self._truth = Seen.load(pipeline, footage.held_out, self._each).frames()

    def use_decoder(self, decoder: Path) -> None:
        """Looks with this decoder from now on."""
        config, params = load_component(decoder, AutoencoderConfig)
        self._bundle = dataclasses.replace(self._bundle, autoencoder=config, autoencoder_params=params)

    def at_decoder(self, component: Path, step: int) -> float:
        """PSNR of the held-out frames through the autoencoder."""
        config, params = load_component(component, AutoencoderConfig)
        pipeline = self._pipeline(autoencoder=config, autoencoder_params=params)
        return self._score("decoder", step, np.stack(list(pipeline.decode(pipeline.encode(self._truth)))))

    def at_sdit(self, component: Path, step: int) -> float:
        """PSNR of what is sampled for the landmarks of the held-out frames."""
        config, params = load_component(component, SDiTConfig)
        pipeline = self._pipeline(sdit=config, sdit_params=params)
        options = LOOK | {"max_frames": self._each}
        return self._score("sdit", step, reenact(pipeline, self._source, self._clips, options))

    def _pipeline(self, **changes: Any) -> AnchoredDiffusionPipeline:
        return AnchoredDiffusionPipeline(dataclasses.replace(self._bundle, **changes), self._landmark_model)

    def _score(self, name: str, step: int, frames: Frames) -> float:
        chosen = pick_frames(len(frames), COLUMNS)
        rows = [[pictures[index] for index in chosen] for pictures in (self._truth, frames)]
        write_picture(self._previews / f"{name}-{step:06d}.png", contact_sheet(rows))
        return psnr(frames, self._truth)


def write_card(
    name: str,
    base: Bundle,
    clips: Sequence[Path],
    footage: Footage,
    options: PersonaliseOptions,
    decoder: Course,
    sdit: Course,
    report: Report,
) -> str:
    """What the bundle is, how it was made, and how well it does."""
    lines = [
        f"# {name}",
        "",
        f"A bundle of one person, made by `adiff personalise` from {len(clips)} clips and the bundle {base.name}.",
        "It reproduces the likeness of that person: use and share it only with their consent.",
        "",
        "## Training",
        "",
        "- {} frames for training, {} held out to stop by, {} for the test".format(*footage.frames),
        f"- decoder: {decoder.steps[-1]} steps in {decoder.seconds / 60:.1f} minutes, the best after {decoder.best}; "
        f"held-out frames {decoder.scores[0]:.2f} dB before, {max(decoder.scores):.2f} dB after",
        f"- sDiT: {sdit.steps[-1]} steps in {sdit.seconds / 60:.1f} minutes, the best after {sdit.best}; "
        f"held-out frames {sdit.scores[0]:.2f} dB before, {max(sdit.scores):.2f} dB after",
        f"- options: {', '.join(f'{key} {value}' for key, value in dataclasses.asdict(options).items())}",
        "",
        "## Measured",
        "",
        report.markdown().replace("### ", "", 1),
        "![True frames, this bundle, the one before, nearest frames](comparison.png)",
        "",
        "## What it was made from",
        "",
        base.card.replace("\n#", "\n##").replace("# ", "### ", 1),
    ]
    return "\n".join(lines)


def save(bundle: Bundle, picture: Path, out: Path) -> None:
    """Writes the bundle with its picture, whole or not at all."""
    out.resolve().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.resolve().parent) as folder:
        draft = Path(folder) / "bundle"
        bundle.save(draft, "float16")
        shutil.copy(picture, draft / picture.name)
        draft.rename(refuse_existing(out))
