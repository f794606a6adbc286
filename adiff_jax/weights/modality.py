"""The modality gap of a CLIP: embeddings of pictures and of texts lie in two cones apart (Liang et al. 2022).

A denoiser is trained on embeddings of pictures. An embedding of a text is moved to their place by the difference of the
means, which a bundle keeps in `clip/modality.safetensors`.
"""

from pathlib import Path

import flax.struct
import numpy as np
from jaxtyping import Float32
from safetensors import SafetensorError
from safetensors.numpy import load_file

from adiff_jax.weights.tensors import WeightsError, save_tensors

FILE = "modality.safetensors"


@flax.struct.dataclass
class Modality:
    """Mean embeddings of pictures and of their captions, each embedding L2-normalised before the mean is taken."""

    image_mean: Float32[np.ndarray, "E"]
    text_mean: Float32[np.ndarray, "E"]

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
