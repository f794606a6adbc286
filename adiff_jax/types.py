"""The vocabulary shared by every module: dimension letters, conditioning, and the `Denoiser` protocol.

Dimension letters, the same everywhere in the code base:

| letter    | meaning                                                             |
| --------- | ------------------------------------------------------------------- |
| `B`       | batch                                                               |
| `G`       | groups of the anchored sampler (the batch axis of the denoiser)     |
| `S`       | frames of one sequence (group); slot 0 holds the anchor             |
| `F`       | frames of a video or clip                                           |
| `N`       | denoising steps of a sampler                                        |
| `T`       | tokens of one frame                                                 |
| `H W C`   | height, width, channels of a picture                                |
| `h w c`   | height, width, channels of a latent                                 |
| `D`       | width of a transformer                                              |
| `E`       | width of a CLIP embedding                                           |
| `L`       | tokens of a text                                                    |
| `K`       | facial landmarks (478, MediaPipe's order)                           |
"""

from typing import Protocol, runtime_checkable

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

NUM_LANDMARKS = 478


@flax.struct.dataclass
class Conditioning:
    """What a denoiser is told about the sequence it denoises.

    Masks make the dropping of a condition data instead of code: where a mask is False the model uses its learned null
    embedding, whatever the array holds.

    Attributes:
        clip: CLIP embedding of the person and scene, one a sequence, L2-normalised.
        clip_mask: True where `clip` is given.
        landmarks: landmarks of each frame, x and y in [-1, 1] over the face crop, x right, y down.
        landmarks_mask: True where `landmarks` are given.
    """

    clip: Float[Array, "B E"]
    clip_mask: Bool[Array, "B"]
    landmarks: Float[Array, "B S K 2"]
    landmarks_mask: Bool[Array, "B"]

    @classmethod
    def create(cls, clip: Float[Array, "B E"], landmarks: Float[Array, "B S K 2"]) -> "Conditioning":
        """Conditions that are all given."""
        given = jnp.ones(clip.shape[0], dtype=bool)
        return cls(clip=clip, clip_mask=given, landmarks=landmarks, landmarks_mask=given)


@runtime_checkable
class Denoiser(Protocol):
    """Anything that predicts from a noisy sequence: a model, a guided model, a dummy in a test.

    Samplers know nothing else. The group axis `G` of the anchored sampler is the batch axis `B` here.

        z_t, t, cond ──► Denoiser ──► prediction (epsilon, v or x0: see `diffusion.process`)
    """

    def __call__(
        self,
        z_t: Float[Array, "B S h w c"],
        t: Float[Array, "B"],
        cond: Conditioning,
    ) -> Float[Array, "B S h w c"]:
        """Predicts for the noisy latents `z_t` at diffusion times `t`, in units of training steps, 0 <= t <= 999."""
        ...
