"""The modality gap of a CLIP: embeddings of pictures and of texts lie in two cones apart (Liang et al. 2022).

A denoiser is trained on embeddings of pictures. An embedding of a text is moved to their place by the difference of the
means, which a bundle keeps in `clip/modality.safetensors`.
"""

from pathlib import Path

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32
from safetensors import SafetensorError
from safetensors.numpy import load_file

from adiff_jax.weights.tensors import WeightsError, save_tensors

FILE = "modality.safetensors"


@flax.struct.dataclass
class Modality:
    """Mean embeddings of pictures and of their captions, each embedding L2-normalised before the mean is taken."""

    image_mean: Float32[np.ndarray, "E"]
    text_mean: Float32[np.ndarray, "E"]

    @classmethod
    def of(cls, images: Float[Array | np.ndarray, "N E"], texts: Float[Array | np.ndarray, "N E"]) -> "Modality":
        """Means of embeddings of pictures and of their captions, of any length."""
        return cls(*(np.asarray(jnp.mean(unit(rows), axis=0), np.float32) for rows in (images, texts)))

    def to_pictures(self, texts: Float[Array, "*N E"]) -> Float[Array, "*N E"]:
        """Embeddings of texts, moved to where those of pictures lie; L2-normalised."""
        return unit(texts + self.image_mean - self.text_mean)

    def save(self, folder: Path) -> None:
        """Writes `FILE` into the folder of a CLIP."""
        means = {"image_mean": self.image_mean, "text_mean": self.text_mean}
        save_tensors(folder / FILE, means)

    @classmethod
    def load(cls, folder: Path, width: int) -> "Modality | None":
        """Reads `FILE` from the folder of a CLIP whose embeddings have this width; None if it has none.

        Raises:
            WeightsError: the file is damaged, or of another CLIP.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            means = load_file(path)
            modality = cls(means["image_mean"], means["text_mean"])
        except (SafetensorError, KeyError) as error:
            raise WeightsError(f"{path} is damaged ({error}); make the bundle anew") from error
        if modality.image_mean.shape != (width,) or modality.text_mean.shape != (width,):
            raise WeightsError(f"{path} has means of {modality.image_mean.shape[0]} values, but this CLIP {width}")
        return modality


def unit(embeddings: Float[Array | np.ndarray, "*N E"]) -> Float[Array, "*N E"]:
    """Embeddings at length 1."""
    return embeddings / jnp.linalg.norm(embeddings, axis=-1, keepdims=True)
