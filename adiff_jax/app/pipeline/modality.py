"""Measures how a CLIP's embeddings of pictures and of captions differ, for a bundle; see `weights.modality`."""

import numpy as np

from adiff_jax.app.pipeline.networks import Networks
from adiff_jax.data.schema import RecordError
from adiff_jax.data.source import ClipSource
from adiff_jax.weights.bundle import Bundle
from adiff_jax.weights.modality import Modality


def measure_modality(bundle: Bundle, source: ClipSource) -> Modality:
    """Means over all clips that have a caption: of the first caption, and of the frame in the middle.

    Raises:
        RecordError: no clip has a caption.
    """
    networks = Networks(bundle)
    images, texts = [], []
    for index in range(len(source)):
        record = source[index]
        if not record.info.captions:
            continue
        (frame,) = record.frames[np.array([len(record.frames) // 2])]
        images.append(np.asarray(networks.embed(frame)))
        texts.append(np.asarray(networks.embed_text(record.info.captions[0])))
    if not images:
        raise RecordError(f"{source!r} has no captions: name pictures with captions by --pairs")
    return Modality.of(np.stack(images), np.stack(texts))
