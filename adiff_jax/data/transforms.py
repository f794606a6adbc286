"""From a clip to a training example: small frozen transforms, and the chain of each training task."""

import dataclasses
from typing import Any

import cv2
import grain
import numpy as np
from jaxtyping import Float, UInt8

from adiff_jax.data.captions import Tokenizer, tokenize
from adiff_jax.data.schema import ClipRecord, RecordError
from adiff_jax.data.sequences import draw_sequence
from adiff_jax.data.synthetic.mesh import MIRROR

Example = dict[str, Any]
Transforms = tuple[grain.transforms.Map | grain.transforms.RandomMap, ...]


@dataclasses.dataclass(frozen=True)
class PickFrame(grain.transforms.RandomMap):
    """A uniformly drawn frame of a clip, one of its captions, and some that are nearly right.

    ClipRecord -> {image: uint8 [H, W, 3], landmarks: float32 [478, 2], captions: list of str, the right one first}

    Attributes:
        hard_negatives: how many captions besides are wrong in one thing.
    """

    hard_negatives: int = 0

    def random_map(self, element: ClipRecord, rng: np.random.Generator) -> Example:
        """Draws the frame.

        Raises:
            RecordError: if hard negatives are asked for and the record has none.
        """
        info = element.info
        if self.hard_negatives and not info.hard_negatives:
            raise RecordError(f"clip {info.id} has no hard negatives: train with loss.hard_negatives=0")
        frame = rng.integers(len(element), size=1)
        captions = [str(rng.choice(info.captions or ("",)))]
        if self.hard_negatives:
            captions += map(str, rng.choice(info.hard_negatives, self.hard_negatives))
        return {
            "image": element.frames[frame][0],
            "landmarks": element.landmarks[frame[0], :, :2],
            "captions": captions,
        }


@dataclasses.dataclass(frozen=True)
class PickSequence(grain.transforms.RandomMap):
    """A training sequence of a clip, and the CLIP embedding of a frame drawn independently of it, or of a caption.

    ClipRecord -> {moments: float32 [S, h, w, 2c], landmarks: float32 [S, 478, 2], clip: float32 [E]}, or, for clips
    without moments and embeddings: {frames: uint8 [S, H, W, 3], landmarks: ..., clip_image: uint8 [H, W, 3]}

    Attributes:
        length: S.
        spacing: see `draw_sequence`.
        encoded: True for moments and embeddings, False for pictures.
        far_anchor: see `draw_sequence`.
        caption_share: probability that the embedding is that of a caption, of encoded clips that have captions.
    """

    length: int
    spacing: str = "nonuniform"
    encoded: bool = True
    far_anchor: float = 0.0
    caption_share: float = 0.0

    def random_map(self, element: ClipRecord, rng: np.random.Generator) -> Example:
        """Draws the sequence.

        Raises:
            RecordError: if moments or embeddings are asked for and the record has none.
        """
        frames = draw_sequence(rng, len(element), self.length, self.spacing, self.far_anchor)
        clip_frame = rng.integers(len(element), size=1)
        example = {"landmarks": element.landmarks[frames, :, :2]}
        if not self.encoded:
            *sequence, clip_image = element.frames[np.concatenate([frames, clip_frame])]
            return example | {"frames": np.stack(sequence), "clip_image": clip_image}
        if element.moments is None or element.clip_image is None:
            raise RecordError(f"clip {element.info.id} has no moments or CLIP embeddings: encode the records first")
        clip = element.clip_image[clip_frame[0]]
        if self.caption_share:
            if element.clip_text is None:
                raise RecordError(
                    f"clip {element.info.id} has no CLIP embeddings of captions: encode it with a CLIP that has "
                    "modality.safetensors, or train with data.caption_share=0"
                )
            if len(element.clip_text) and rng.random() < self.caption_share:
                clip = rng.choice(element.clip_text)
        return example | {"moments": element.moments[frames].astype(np.float32), "clip": clip.astype(np.float32)}


@dataclasses.dataclass(frozen=True)
class RandomFlip(grain.transforms.RandomMap):
    """Mirrors picture and landmarks left to right; each landmark takes the place of its mirror twin.

    {image: uint8 [H, W, 3], landmarks: [478, 2], ...} -> the same
    """

    probability: float = 0.5

    def random_map(self, element: Example, rng: np.random.Generator) -> Example:
        """Mirrors, or leaves as it is."""
        if rng.random() >= self.probability:
            return element
        landmarks = element["landmarks"][MIRROR] * np.float32([-1, 1])
        return element | {"image": cv2.flip(element["image"], 1), "landmarks": landmarks}


@dataclasses.dataclass(frozen=True)
class RandomAffine(grain.transforms.RandomMap):
    """Turns, scales and shifts picture and landmarks about the picture's centre; edges are mirrored.

    {image: uint8 [H, W, 3], landmarks: [478, 2], ...} -> the same

    Attributes:
        degrees: largest turn to either side.
        scale: largest change of size, as a factor's distance from 1.
        shift: largest shift along each axis, in half widths of the picture.
    """

    degrees: float = 5.0
    scale: float = 0.1
    shift: float = 0.1

    def random_map(self, element: Example, rng: np.random.Generator) -> Example:
        """Draws a turn, a scale and a shift, and applies them."""
        angle = np.deg2rad(rng.uniform(-self.degrees, self.degrees))
        factor = np.exp(rng.uniform(-1, 1) * np.log1p(self.scale))
        matrix = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        offset = rng.uniform(-self.shift, self.shift, size=2)
        height, width = element["image"].shape[:2]
        # Pixel p and normalised position q: p = half * (q + 1) - 0.5.
        half = np.array([width, height]) / 2
        pixels = matrix * half[:, None] / half
        centre = half - 0.5
        to_pixels = np.column_stack([pixels, centre + half * offset - pixels @ centre])
        image = cv2.warpAffine(
            element["image"], to_pixels, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        landmarks = (element["landmarks"] @ matrix.T + offset).astype(np.float32)
        return element | {"image": image, "landmarks": landmarks}


@dataclasses.dataclass(frozen=True)
class ColourJitter(grain.transforms.RandomMap):
    """Changes brightness, contrast and the balance of the channels.

    {image: uint8 [H, W, 3], ...} -> the same

    Attributes:
        strength: largest relative change of contrast, of each channel's gain, and of brightness (in units of 255).
    """

    strength: float = 0.1

    def random_map(self, element: Example, rng: np.random.Generator) -> Example:
        """Draws a change of colour and applies it."""
        contrast, brightness, *channels = rng.uniform(-self.strength, self.strength, size=5)
        gain = (1 + contrast) * (1 + np.array(channels))
        table = np.arange(256)[:, None] - 127.5
        table = np.clip(np.rint(table * gain + 127.5 + 255 * brightness), 0, 255).astype(np.uint8)
        return element | {"image": cv2.LUT(element["image"], table[None])}


@dataclasses.dataclass(frozen=True)
class Tokenize(grain.transforms.Map):
    """Replaces captions by their tokens.

    {captions: N str, ...} -> {tokens: int32 [N, length], ...}
    """

    tokenizer: Tokenizer
    length: int

    def map(self, element: Example) -> Example:
        """Tokenises the captions."""
        tokens = tokenize(self.tokenizer, element["captions"], self.length)
        return {name: value for name, value in element.items() if name != "captions"} | {"tokens": tokens}


@dataclasses.dataclass(frozen=True)
class Keep(grain.transforms.Map):
    """Keeps the named fields and brings pictures (uint8) to float32 in [-1, 1]."""

    names: tuple[str, ...]

    def map(self, element: Example) -> Example:
        """Selects and converts."""
        return {name: to_float(element[name]) for name in self.names}


def to_float(array: np.ndarray) -> np.ndarray:
    """Pictures as float32 in [-1, 1]; other arrays as they are."""
    return array.astype(np.float32) / np.float32(127.5) - np.float32(1) if array.dtype == np.uint8 else array


def to_uint8(image: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Pictures in [-1, 1] as bytes, rounded; values outside are clipped."""
    return np.clip(np.rint((image + 1) * 127.5), 0, 255).astype(np.uint8)


def autoencoder_transforms(*, flip: bool = True, affine: bool = True, jitter: bool = True) -> Transforms:
    """Single frames: {image: float32 [H, W, 3] in [-1, 1], landmarks: float32 [478, 2]}."""
    return (PickFrame(), *_augmentations(flip, affine, jitter), Keep(("image", "landmarks")))


def clip_transforms(
    tokenizer: Tokenizer,
    length: int,
    *,
    hard_negatives: int = 0,
    flip: bool = True,
    affine: bool = True,
    jitter: bool = False,
) -> Transforms:
    """Frames with captions: {image: float32 [H, W, 3] in [-1, 1], tokens: int32 [1 + hard_negatives, length]}."""
    return (
        PickFrame(hard_negatives),
        *_augmentations(flip, affine, jitter),
        Tokenize(tokenizer, length),
        Keep(("image", "tokens")),
    )


def sdit_transforms(
    length: int,
    spacing: str = "nonuniform",
    *,
    encoded: bool = True,
    far_anchor: float = 0.0,
    caption_share: float = 0.0,
) -> Transforms:
    """Sequences: {moments, landmarks, clip}, or {frames, landmarks, clip_image} for records that are not encoded."""
    names = ("moments", "landmarks", "clip") if encoded else ("frames", "landmarks", "clip_image")
    return (PickSequence(length, spacing, encoded, far_anchor, caption_share), Keep(names))


def _augmentations(flip: bool, affine: bool, jitter: bool) -> Transforms:
    return tuple(
        transform
        for transform, used in ((RandomFlip(), flip), (RandomAffine(), affine), (ColourJitter(), jitter))
        if used
    )
