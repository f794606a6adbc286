"""`adiff import`, `adiff bundle` and `adiff info`: published weights in, bundles together, their cards."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from adiff_jax.app.commands.base import Command, Positional


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
        pairs: pictures with captions, on which is measured how the embeddings of texts and of pictures differ of a CLIP
            that was not trained here: a folder of records, or synthetic:N[:SEED].
        dtype: what weights are stored as; half precision halves the size.
    """

    sdit: Path
    autoencoder: Path
    clip: Path
    card: Path
    out: Path
    pairs: str = "synthetic:256:1000000"
    dtype: Literal["float32", "float16"] = "float16"

    def run(self) -> None:
        """Checks that the parts fit, and writes the bundle."""
        from adiff_jax.app.pipeline.modality import measure_modality
        from adiff_jax.data.source import open_source
        from adiff_jax.weights.bundle import Bundle

        card = self.card.read_text(encoding="utf-8")
        folders = {"sdit": self.sdit, "autoencoder": self.autoencoder, "clip": self.clip}
        bundle = Bundle.assemble(self.out.resolve().name, **folders, card=card)
        if bundle.modality is None:
            source = open_source(self.pairs, num_frames=1, size=bundle.clip.image_size)
            bundle = dataclasses.replace(bundle, modality=measure_modality(bundle, source))
        bundle.save(self.out, self.dtype)
        size = sum(path.stat().st_size for path in self.out.rglob("*") if path.is_file())
        print(f"{self.out}: {size / 1e6:.1f} MB")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Info(Command):
    """Prints the card of a bundle.

    Attributes:
        bundle: directory of a bundle, the name of one in the package, or OWNER/NAME on the Hugging Face hub.
    """

    bundle: Annotated[str, Positional] = "synthetic-128"

    def run(self) -> None:
        """Prints the card, and where the bundle is."""
        from adiff_jax.weights.bundle import find_bundle

        folder = find_bundle(self.bundle)
        print((folder / "README.md").read_text(encoding="utf-8"))
        print(f"({folder})", file=sys.stderr)
