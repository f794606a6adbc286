"""A bundle: everything that a pipeline needs, in one directory, the same on disk and on a hub.

    NAME/
      model_index.json     format, name
      README.md            the card: data, config, command, metrics, licence
      sdit/ autoencoder/ clip/    config.json (a model's config dataclass), model.safetensors
      scheduler/           config.json (`DiffusionConfig`)
      clip/                also modality.safetensors: how far texts lie from pictures (`Modality`)
      tokenizer/           vocab.json, merges.txt, tokenizer_config.json

Weights are float32 in memory; on disk they may be float16.
"""

import dataclasses
import functools
import json
import logging
import os
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from adiff_jax.diffusion.process import DiffusionConfig, Process
from adiff_jax.models.autoencoder import AutoencoderConfig, AutoencoderKL
from adiff_jax.models.clip import CLIP, CLIPConfig
from adiff_jax.models.identity import IdentityConfig, IdentityNetwork
from adiff_jax.models.sdit import SDiT, SDiTConfig
from adiff_jax.types import NUM_LANDMARKS, Conditioning
from adiff_jax.weights.digest import bundle_digest, component_digest
from adiff_jax.weights.hub import download, is_repo_id
from adiff_jax.weights.modality import Modality
from adiff_jax.weights.tensors import Params, WeightsError, load_tensors, save_tensors

DEFAULT_BUNDLE = "synthetic-128"
FORMAT = 1

_log = logging.getLogger(__name__)

Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True)
class Bundle:
    """Models, weights and what goes with them.

    Attributes:
        name: what the bundle is called.
        sdit: config of the sequence diffusion transformer.
        sdit_params: its weights, as the other `*_params`.
        autoencoder: config of the autoencoder, with the scaling of its latents.
        clip: config of CLIP.
        scheduler: the diffusion process that the transformer was trained on.
        tokenizer: folder of the tokenizer's files.
        card: text of README.md.
        modality: how embeddings of texts and of pictures differ; None if it was not measured.
    """

    name: str
    sdit: SDiTConfig
    sdit_params: Params
    autoencoder: AutoencoderConfig
    autoencoder_params: Params
    clip: CLIPConfig
    clip_params: Params
    scheduler: DiffusionConfig
    tokenizer: Path
    card: str
    modality: Modality | None = None

    @functools.cached_property
    def process(self) -> Process:
        """The diffusion process that `scheduler` describes."""
        return Process.create(self.scheduler)

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each model and, as `bundle`, of all; see `weights.digest`."""
        names = ("sdit", "autoencoder", "clip")
        models = {name: component_digest(getattr(self, name), getattr(self, f"{name}_params")) for name in names}
        return {**models, "bundle": bundle_digest(models, self.scheduler, self.tokenizer, self.modality)}

    def on_device(self) -> "Bundle":
        """The same with its weights in the first device's memory: from the host's, every call would send them anew."""
        names = ("sdit_params", "autoencoder_params", "clip_params")
        return dataclasses.replace(self, **{name: jax.device_put(getattr(self, name)) for name in names})

    @classmethod
    def load(cls, path: str | os.PathLike = DEFAULT_BUNDLE) -> "Bundle":
        """Loads a directory; or, where there is none of that name, a bundle of the package or of the hub.

        Raises:
            WeightsError: there is no such bundle, a part is missing, or a tensor does not fit its config.
        """
        folder = find_bundle(path)
        index = _read_json(folder / "model_index.json")
        if index.get("format") != FORMAT:
            raise WeightsError(f"{folder} is a bundle of format {index.get('format')!r}; this version reads {FORMAT}")
        if not isinstance(index.get("name"), str):
            raise WeightsError(f"{folder}/model_index.json: the bundle has no name")
        return cls.assemble(
            index["name"], sdit=folder, autoencoder=folder, clip=folder, card=_read_text(folder / "README.md")
        )

    @classmethod
    def assemble(
        cls,
        name: str,
        *,
        sdit: str | os.PathLike,
        autoencoder: str | os.PathLike,
        clip: str | os.PathLike,
        card: str,
    ) -> "Bundle":
        """Puts trained components together; each folder is a bundle, or the `export` of a training run.

        Args:
            name: what the bundle is called.
            sdit: holds `sdit/` and `scheduler/`.
            autoencoder: holds `autoencoder/`.
            clip: holds `clip/` and `tokenizer/`.
            card: text of README.md.

        Raises:
            WeightsError: a part is missing, a tensor does not fit its config, or the models do not fit each other.
        """
        sdit_config, sdit_params = load_component(Path(sdit) / "sdit", SDiTConfig)
        autoencoder_config, autoencoder_params = load_component(Path(autoencoder) / "autoencoder", AutoencoderConfig)
        clip_config, clip_params = load_component(Path(clip) / "clip", CLIPConfig)
        for what, value, model, expected in (
            ("in_channels", sdit_config.in_channels, "latent channels", autoencoder_config.latent_channels),
            ("clip_dim", sdit_config.clip_dim, "CLIP's projection", clip_config.projection_dim),
        ):
            if value != expected:
                raise WeightsError(f"sDiT's {what} is {value}, but {model} {expected}: not parts of one bundle")
        return cls(
            name=name,
            sdit=sdit_config,
            sdit_params=sdit_params,
            autoencoder=autoencoder_config,
            autoencoder_params=autoencoder_params,
            clip=clip_config,
            clip_params=clip_params,
            scheduler=read_config(Path(sdit) / "scheduler", DiffusionConfig),
            tokenizer=Path(clip) / "tokenizer",
            card=card,
            modality=Modality.load(Path(clip) / "clip", clip_config.projection_dim),
        )

    def save(self, path: str | os.PathLike, dtype: str = "float32") -> None:
        """Writes the bundle aside and renames.

        Args:
            path: the directory to make.
            dtype: what weights are stored as: `"float32"` or `"float16"`.

        Raises:
            WeightsError: `path` exists; or see `save_tensors`.
        """
        path = refuse_existing(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            for name in ("sdit", "autoencoder", "clip"):
                save_component(draft / name, getattr(self, name), getattr(self, f"{name}_params"), dtype)
            if self.modality is not None:
                self.modality.save(draft / "clip")
            write_config(draft / "scheduler", self.scheduler)
            shutil.copytree(self.tokenizer, draft / "tokenizer")
            (draft / "README.md").write_text(self.card, encoding="utf-8")
            _write_json(draft / "model_index.json", {"format": FORMAT, "name": self.name})
            draft.chmod(0o755)  # mkdtemp's is the owner's alone
            draft.rename(path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def find_bundle(path: str | os.PathLike) -> Path:
    """The directory of a bundle, given it, the name of a shipped one, or a repository of the hub, which is downloaded.

    Raises:
        WeightsError: there is none of them.
    """
    shipped = Path(str(resources.files("adiff_jax"))) / "bundles"
    for folder in (Path(path), shipped / path):
        if (folder / "model_index.json").is_file():
            return folder
    if is_repo_id(path) and not Path(path).exists():
        _log.info("no bundle at %s here: downloading it from the Hugging Face hub, unless its cache has it", path)
        folder = download(os.fspath(path))
        if (folder / "model_index.json").is_file():
            return folder
    names = sorted(index.parent.name for index in shipped.glob("*/model_index.json"))
    raise WeightsError(f"no bundle at {path} (no model_index.json); the package has: {', '.join(names) or 'none'}")


def save_component(folder: str | os.PathLike, config: Any, params: Params, dtype: str = "float32") -> None:
    """Writes one model as `config.json` and `model.safetensors` into `folder`, which is made if it is not there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / "model.safetensors", params, dtype)
    write_config(folder, config)


def load_component(folder: str | os.PathLike, config_class: type[Config]) -> tuple[Config, dict[str, Any]]:
    """Config and weights of one model.

    Raises:
        WeightsError: a file is missing, an option is unknown, or a tensor does not fit the config.
    """
    config = read_config(folder, config_class)
    return config, load_tensors(Path(folder) / "model.safetensors", abstract_params(config))


def read_config(folder: str | os.PathLike, config_class: type[Config]) -> Config:
    """The dataclass stored in `folder`'s config.json; options that it leaves out have their defaults.

    Raises:
        WeightsError: the file is missing, is not JSON, or has an option that the dataclass has not.
    """
    path = Path(folder) / "config.json"
    options = _read_json(path)
    if unknown := sorted(options.keys() - {field.name for field in dataclasses.fields(config_class)}):
        raise WeightsError(f"{path}: {config_class.__name__} has no option {', '.join(unknown)}")
    return config_class(**{name: _tuples(value) for name, value in options.items()})


def write_config(folder: str | os.PathLike, config: Any) -> None:
    """Writes a config dataclass as `config.json` into `folder`, which is made if it is not there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", dataclasses.asdict(config))


def refuse_existing(folder: str | os.PathLike) -> Path:
    """The path of `folder`, which must not be there.

    Raises:
        WeightsError: it is.
    """
    folder = Path(folder)
    if folder.exists():
        raise WeightsError(f"{folder} exists; remove it or choose another name")
    return folder


def abstract_params(config: Any) -> dict[str, Any]:
    """Names, shapes and types of a model's weights, without making any."""
    match config:
        case AutoencoderConfig():
            side = 8 * config.downsampling
            module, inputs = AutoencoderKL(config), (jnp.zeros((1, side, side, config.in_channels)),)
        case CLIPConfig():
            pixels = jnp.zeros((1, config.image_size, config.image_size, 3))
            module, inputs = CLIP(config), (pixels, jnp.zeros((1, config.context_length), jnp.int32))
        case IdentityConfig():
            chips = jnp.zeros((1, config.image_size, config.image_size, 3))
            module, inputs = IdentityNetwork(config), (chips,)
        case SDiTConfig():
            latents = jnp.zeros((1, config.num_frames, config.input_size, config.input_size, config.in_channels))
            cond = Conditioning.create(
                jnp.zeros((1, config.clip_dim)), jnp.zeros((1, config.num_frames, NUM_LANDMARKS, 2))
            )
            module, inputs = SDiT(config), (latents, jnp.zeros(1), cond)
        case _:
            raise TypeError(f"no model has a {type(config).__name__}")
    variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return nn.unbox(variables)["params"]


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing: not a complete bundle") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise WeightsError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is not a JSON object")
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)
