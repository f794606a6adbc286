"""Texts where the denoiser expects pictures of people: CLIP embeddings across the modality gap."""

from jaxtyping import Array, Float

from adiff_jax.app.pipeline.networks import Networks
from adiff_jax.weights.bundle import Bundle
from adiff_jax.weights.modality import Modality


class Texts:
    """Embeddings of texts by a bundle's CLIP.

    The methods raise a ValueError if a text is empty, or if the bundle does not tell how far texts lie from pictures.
    """

    def __init__(self, bundle: Bundle, networks: Networks):
        self._bundle = bundle
        self._networks = networks

    def person(self, text: str) -> Float[Array, "E"]:
        """The embedding of a text, moved to where embeddings of pictures lie; L2-normalised."""
        return self._modality().to_pictures(self._embed(text))

    def direction(self, text: str, origin: str | None) -> Float[Array, "E"]:
        """From the embedding of the text `origin`, or from the mean of texts, to that of `text`."""
        mean = self._modality().text_mean
        return self._embed(text) - (mean if origin is None else self._embed(origin))

    def _embed(self, text: str) -> Float[Array, "E"]:
        if not text.strip():
            raise ValueError("the text is empty; say what the person looks like")
        return self._networks.embed_text(text)

    def _modality(self) -> Modality:
        if self._bundle.modality is None:
            raise ValueError(
                f"the bundle {self._bundle.name} does not tell how embeddings of texts and of pictures differ: "
                "make it anew with `adiff bundle`"
            )
        return self._bundle.modality
