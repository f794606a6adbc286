"""CLIP's training: pictures and captions into one space (Radford et al. 2021, arXiv 2103.00020)."""

import dataclasses
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from adiff_jax.data.captions import END, Tokenizer, load_tokenizer, train_tokenizer
from adiff_jax.data.source import ClipSource
from adiff_jax.data.transforms import Transforms, clip_transforms
from adiff_jax.models.clip import CLIP, CLIPConfig
from adiff_jax.train.task import Batch, Params, Preview
from adiff_jax.train.tasks.pictures import as_bytes, resize
from adiff_jax.weights.bundle import save_component
from adiff_jax.weights.modality import Modality, unit

MAX_SCALE = 100.0  # of the logits, as in the source


@flax.struct.dataclass
class CLIPTask:
    """Symmetric InfoNCE over a batch, with a learned temperature.

    Drawn people may share a caption, so every text equal to a picture's own is a right answer for it. Beside those of
    the others, a picture is told from captions that are wrong in one thing (hard negatives, Yuksekgonul et al. 2023,
    arXiv 2210.01936): without them colours suffice to tell a batch apart, and glasses or a beard are hardly learned.

    Batches: `image` [B, H, W, 3] in [-1, 1] and `tokens` [B, N, L], of each picture's own text and of N - 1 hard
    negatives.
    """

    model: CLIP = flax.struct.field(pytree_node=False)
    tokenizer: Tokenizer = flax.struct.field(pytree_node=False)
    tokenizer_folder: Path = flax.struct.field(pytree_node=False)
    hard_negatives: int = flax.struct.field(pytree_node=False)
    separable: ClassVar[bool] = False

    @classmethod
    def create(cls, config: ml_collections.ConfigDict, source: ClipSource, workdir: Path) -> "CLIPTask":
        """From a config with `model` (`CLIPConfig`), `loss`, and `tokenizer`: a folder, or empty to learn one.

        A tokenizer is learned once a run, from the captions of the first `config.tokenizer_clips` clips. The model's
        `eos_token_id` is the tokenizer's.

        Raises:
            ValueError: if the tokenizer has more entries than the model.
        """
        folder = Path(config.tokenizer or workdir / "tokenizer")
        if not config.tokenizer and not folder.exists():
            clips = range(min(config.tokenizer_clips, len(source)))
            captions = (caption for index in clips for caption in source[index].info.captions)
            learn_tokenizer(captions, folder, config.model.vocab_size)
        tokenizer = load_tokenizer(folder)
        model = dataclasses.replace(CLIPConfig(**config.model), eos_token_id=tokenizer.token_to_id(END))
        if tokenizer.get_vocab_size() > model.vocab_size:
            raise ValueError(
                f"model.vocab_size is {model.vocab_size}, the tokenizer in {folder} has {tokenizer.get_vocab_size()}"
            )
        return cls(model=CLIP(model), tokenizer=tokenizer, tokenizer_folder=folder, **config.loss)

    def transforms(self, preview: bool = False) -> Transforms:
        """Frames with the captions of their clips, augmented in training."""
        length = self.model.config.context_length
        if preview:
            return clip_transforms(self.tokenizer, length, flip=False, affine=False)
        return clip_transforms(self.tokenizer, length, hard_negatives=self.hard_negatives)

    def init(self, key: PRNGKeyArray, batch: Mapping[str, jax.ShapeDtypeStruct]) -> Params:
        """Parameters of both towers."""
        side, length = self.model.config.image_size, self.model.config.context_length
        return self.model.init(key, jnp.zeros((1, side, side, 3)), jnp.zeros((1, length), jnp.int32))["params"]

    def loss(
        self, params: Params, batch: Batch, keys: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Mapping[str, Float[Array, ""]]]:
        """The contrastive loss; logs `accuracy`, the share of pictures whose nearest text is right, and `scale`."""
        texts, nearly, scale = self._logits(params, batch)
        right = same_rows(batch["tokens"][:, 0])
        target = right / right.sum(-1, keepdims=True)
        logits, answer = jnp.hstack([texts, nearly]), jnp.hstack([target, jnp.zeros_like(nearly)])
        loss = 0.5 * (cross_entropy(logits, answer) + cross_entropy(texts.T, target))
        nearest = jnp.take_along_axis(answer, logits.argmax(-1)[:, None], axis=-1)
        return loss, {"accuracy": (nearest > 0).mean(), "scale": scale}

    def preview(self, params: Params, batch: Batch, key: PRNGKeyArray) -> Preview:
        """Two rows: pictures, and for the caption of each the picture that is nearest to it."""
        logits, _, _ = self._logits(params, batch)
        return Preview(as_bytes(jnp.stack([batch["image"], batch["image"][logits.argmax(0)]])))

    def export(self, folder: Path, params: Params, batches: Iterable[Batch]) -> None:
        """Writes `clip/`, with how its embeddings of pictures and of texts differ over `batches`, and `tokenizer/`."""
        save_component(folder / "clip", self.model.config, params)
        embed = jax.jit(self._embeddings)
        images, texts = zip(*(jax.device_get(embed(params, batch)[:2]) for batch in batches))
        Modality.of(np.concatenate(images), np.concatenate(texts)[:, 0]).save(folder / "clip")
        shutil.copytree(self.tokenizer_folder, folder / "tokenizer", dirs_exist_ok=True)

    def _logits(
        self, params: Params, batch: Batch
    ) -> tuple[Float[Array, "B B"], Float[Array, "B M"], Float[Array, ""]]:
        """Scaled cosines of pictures (rows) with the texts of all, and with their own hard negatives; the scale."""
        image, text, log_scale = self._embeddings(params, batch)
        scale = jnp.minimum(jnp.exp(log_scale), MAX_SCALE)
        return scale * image @ text[:, 0].T, scale * jnp.einsum("be,bme->bm", image, text[:, 1:]), scale

    def _embeddings(
        self, params: Params, batch: Batch
    ) -> tuple[Float[Array, "B E"], Float[Array, "B N E"], Float[Array, ""]]:
        """Those of pictures, of their texts (the right one first), at length 1, and the logarithm of the scale."""
        image, tokens = resize(batch["image"], self.model.config.image_size), batch["tokens"]
        image, text, log_scale = self.model.apply({"params": params}, image, tokens.reshape(-1, tokens.shape[-1]))
        return unit(image), unit(text).reshape(*tokens.shape[:2], -1), log_scale


def learn_tokenizer(captions: Iterable[str], folder: Path, vocab_size: int) -> None:
    """Learns a tokenizer into `folder`, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
        train_tokenizer(captions, Path(draft) / "tokenizer", vocab_size=vocab_size)
        (Path(draft) / "tokenizer").rename(folder)


def same_rows(tokens: Int[Array, "B L"]) -> Float[Array, "B B"]:
    """1 where two texts are the same, 0 elsewhere."""
    return jnp.all(tokens[:, None] == tokens[None], axis=-1).astype(jnp.float32)


def cross_entropy(logits: Float[Array, "B B"], target: Float[Array, "B B"]) -> Float[Array, ""]:
    """Mean over rows of the cross entropy with rows of probabilities."""
    return -jnp.mean(jnp.sum(target * jax.nn.log_softmax(logits), axis=-1))
