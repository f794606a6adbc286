"""Each transform on small literal input, and the chain of each task."""

import dataclasses

import numpy as np
import pytest

from adiff_jax.data.captions import train_tokenizer
from adiff_jax.data.schema import RecordError
from adiff_jax.data.synthetic.mesh import MIRROR, VERTICES
from adiff_jax.data.transforms import (
    ColourJitter,
    Keep,
    PickFrame,
    PickSequence,
    RandomAffine,
    RandomFlip,
    autoencoder_transforms,
    clip_transforms,
    sdit_transforms,
    to_float,
    to_uint8,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def apply(transforms, clip):
    generator = rng()
    for transform in transforms:
        clip = transform.random_map(clip, generator) if hasattr(transform, "random_map") else transform.map(clip)
    return clip


def face(size: int = 64) -> dict:
    """A picture with a bright dot on each of a few landmarks, and all the landmarks."""
    landmarks = (VERTICES[:, :2] / 20).astype(np.float32)
    image = np.zeros((size, size, 3), np.uint8)
    for x, y in np.rint((landmarks[[1, 33, 263, 152]] + 1) * size / 2 - 0.5).astype(int):
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    return {"image": image, "landmarks": landmarks}


def brightness_at_dots(example: dict) -> np.ndarray:
    size = example["image"].shape[0]
    points = np.rint((example["landmarks"][[1, 33, 263, 152]] + 1) * size / 2 - 0.5).astype(int)
    return example["image"][points[:, 1], points[:, 0], 0]


def test_pick_frame_gives_picture_and_landmarks_of_one_frame(make_clip):
    clip = make_clip(5)
    example = PickFrame().random_map(clip, rng())
    frame = example["image"][0, 0, 2] // 4
    np.testing.assert_array_equal(example["image"], clip.frames[frame])
    np.testing.assert_array_equal(example["landmarks"], clip.landmarks[frame, :, :2])


def test_pick_frame_draws_every_frame_and_caption(make_clip):
    clip, generator = make_clip(5), rng()
    drawn = [PickFrame().random_map(clip, generator) for _ in range(300)]
    assert {example["image"][0, 0, 2] // 4 for example in drawn} == set(range(12))
    assert {caption for example in drawn for caption in example["captions"]} == {"person number 5", "a person"}


def test_pick_frame_puts_what_is_nearly_right_behind_what_is_right(make_clip):
    clip, generator = make_clip(5), rng()
    with pytest.raises(RecordError, match=r"clip-5 has no hard negatives: train with loss\.hard_negatives=0"):
        PickFrame(hard_negatives=2).random_map(clip, generator)
    wrong = tuple(f"person number {number}" for number in range(6, 12))
    clip = dataclasses.replace(clip, info=dataclasses.replace(clip.info, hard_negatives=wrong))
    drawn = [PickFrame(hard_negatives=2).random_map(clip, generator)["captions"] for _ in range(100)]
    assert {first for first, *_ in drawn} == {"person number 5", "a person"}
    assert {caption for _, *others in drawn for caption in others} == set(wrong)
    assert {len(captions) for captions in drawn} == {3}


def test_pick_sequence_keeps_frames_and_landmarks_together(make_clip):
    clip = make_clip(5)
    example = PickSequence(4, encoded=False).random_map(clip, rng())
    frames = example["frames"][:, 0, 0, 2] // 4
    np.testing.assert_array_equal(example["landmarks"], clip.landmarks[frames, :, :2])
    assert example["clip_image"].shape == (32, 32, 3)
    assert (np.diff(frames[1:].astype(int)) > 0).all()


def test_pick_sequence_of_moments(make_clip):
    moments = np.arange(12, dtype=np.float16)[:, None, None, None] * np.ones((1, 2, 2, 8), np.float16)
    clip = dataclasses.replace(make_clip(5), moments=moments, clip_image=moments[:, 0, 0, :3])
    example = PickSequence(4).random_map(clip, rng())
    frames = example["moments"][:, 0, 0, 0].astype(int)
    np.testing.assert_array_equal(example["landmarks"], clip.landmarks[frames, :, :2])
    assert example["clip"].shape == (3,)
    assert example["moments"].dtype == example["clip"].dtype == np.float32


def test_pick_sequence_describes_by_captions_as_often_as_asked(make_clip):
    moments = np.zeros((12, 2, 2, 8), np.float16)
    pictures, captions = np.zeros((12, 3), np.float16), np.array([[1, 0, 0], [2, 0, 0]], np.float16)
    clip = dataclasses.replace(make_clip(5), moments=moments, clip_image=pictures, clip_text=captions)

    def drawn(clip, share):
        generator, pick = rng(), PickSequence(4, caption_share=share)
        return np.array([pick.random_map(clip, generator)["clip"][0] for _ in range(1000)])

    assert not drawn(clip, 0.0).any()
    assert set(drawn(clip, 1.0)) == {1, 2}
    # The deviation of a share of 0.3 over 1000 draws is 0.0145; four of them.
    np.testing.assert_allclose((drawn(clip, 0.3) > 0).mean(), 0.3, atol=0.06)
    assert not drawn(dataclasses.replace(clip, clip_text=captions[:0]), 1.0).any()


def test_pick_sequence_says_what_is_missing(make_clip):
    with pytest.raises(RecordError, match="clip-5 has no moments or CLIP embeddings"):
        PickSequence(4).random_map(make_clip(5), rng())
    moments = np.zeros((12, 2, 2, 8), np.float16)
    clip = dataclasses.replace(make_clip(5), moments=moments, clip_image=moments[:, 0, 0, :3])
    with pytest.raises(RecordError, match=r"clip-5 has no CLIP embeddings of captions: .* data\.caption_share=0"):
        PickSequence(4, caption_share=0.5).random_map(clip, rng())


def test_flip_twice_is_nothing_and_right_stays_the_persons_right():
    before = face()
    flip = RandomFlip(probability=1.0)
    once = flip.random_map(before, rng())
    twice = flip.random_map(once, rng())
    np.testing.assert_array_equal(twice["image"], before["image"])
    np.testing.assert_allclose(twice["landmarks"], before["landmarks"], atol=1e-6)
    np.testing.assert_array_equal(once["image"], before["image"][:, ::-1])
    # A symmetric face flipped is itself, point by point; 0.02 cm is the canonical mesh's own asymmetry.
    np.testing.assert_allclose(once["landmarks"], before["landmarks"], atol=0.02 / 20)
    assert MIRROR[33] == 263  # the outer eye corners


def test_flip_probability():
    generator, before = rng(), face()
    flipped = [RandomFlip(0.3).random_map(before, generator) is not before for _ in range(1000)]
    assert np.mean(flipped) == pytest.approx(0.3, abs=0.06)  # four standard deviations


def test_affine_moves_picture_and_landmarks_together():
    generator = rng()
    for _ in range(50):
        example = RandomAffine(degrees=20.0, scale=0.2, shift=0.2).random_map(face(), generator)
        # Dots are three pixels wide, so a landmark off by a pixel and a half would fall on black.
        assert (brightness_at_dots(example) > 60).all()
    assert example["image"].dtype == np.uint8
    assert example["landmarks"].dtype == np.float32


def test_affine_of_nothing_is_nothing():
    before = face()
    after = RandomAffine(0.0, 0.0, 0.0).random_map(before, rng())
    np.testing.assert_array_equal(after["image"], before["image"])
    np.testing.assert_allclose(after["landmarks"], before["landmarks"], atol=1e-6)


def test_jitter_is_an_affine_map_of_levels():
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (2, 256, 3)).copy()
    image = ColourJitter(0.1).random_map({"image": ramp}, rng())["image"].astype(float)
    assert (np.abs(image - ramp) <= 0.1 * 255 + 0.21 * 127.5 + 1).all()
    assert (np.diff(image[0], axis=0) >= 0).all()
    assert (np.ptp(image[0], axis=1) > 0).any()
    np.testing.assert_array_equal(ColourJitter(0.0).random_map({"image": ramp}, rng())["image"], ramp)


def test_levels():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    as_float = to_float(levels)
    assert as_float.dtype == np.float32
    assert (as_float.min(), as_float.max()) == (-1, 1)
    np.testing.assert_array_equal(to_uint8(as_float), levels)
    np.testing.assert_array_equal(to_uint8(np.array([-3.0, 3.0])), [0, 255])
    assert Keep(("a",)).map({"a": np.zeros(2, np.float32), "b": 1}).keys() == {"a"}


def test_autoencoder_chain(make_clip):
    example = apply(autoencoder_transforms(), make_clip(1))
    assert {name: (value.shape, value.dtype) for name, value in example.items()} == {
        "image": ((32, 32, 3), np.float32),
        "landmarks": ((478, 2), np.float32),
    }


def test_clip_chain(make_clip, tmp_path):
    tokenizer = train_tokenizer(["person number one", "person number two"], tmp_path, vocab_size=520)
    example = apply(clip_transforms(tokenizer, length=16), make_clip(1))
    assert {name: (value.shape, value.dtype) for name, value in example.items()} == {
        "image": ((32, 32, 3), np.float32),
        "tokens": ((1, 16), np.int32),
    }


def test_sdit_chain(make_clip):
    example = apply(sdit_transforms(4, encoded=False), make_clip(1))
    assert {name: (value.shape, value.dtype) for name, value in example.items()} == {
        "frames": ((4, 32, 32, 3), np.float32),
        "landmarks": ((4, 478, 2), np.float32),
        "clip_image": ((32, 32, 3), np.float32),
    }
