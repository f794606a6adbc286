"""One box, one normalisation: laws of the crop."""

import numpy as np
import pytest
from PIL import Image

from adiff_jax.media.crop import BOX_RISE, BOX_SIDE, crop_image, crop_track, denormalise, normalise, paste_back


@pytest.fixture
def clip(rng):
    """A face 100 pixels high and 80 wide that wanders by a few pixels over 50 frames."""
    shape = rng.uniform(-1, 1, (478, 3)) * [40, 50, 30]
    shape[:4, :2] = [[-40, 0], [40, 0], [0, -50], [0, 50]]
    return shape + np.array([200, 150, 0]) + np.concatenate([rng.uniform(-5, 5, (50, 1, 2)), np.zeros((50, 1, 1))], -1)


def smooth_picture(rng, height, width):
    small = rng.integers(0, 255, (height // 16, width // 16, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def test_normalise_and_denormalise_are_inverse(clip):
    boxes = crop_track(clip)
    for points in (clip, clip[..., :2]):
        np.testing.assert_allclose(denormalise(normalise(points, boxes), boxes), points, atol=1e-9)
    np.testing.assert_array_equal(normalise(clip[3], boxes[3]), normalise(clip, boxes)[3])


def test_normalised_points_are_fractions_of_the_box():
    points = np.array([[10.0, 20.0, 5.0], [30.0, 40.0, -5.0]])
    np.testing.assert_allclose(normalise(points, np.array([20.0, 30.0, 20.0])), [[-1, -1, 0.5], [1, 1, -0.5]])


def test_box_is_fixed_while_the_face_stays_inside(clip):
    boxes = crop_track(clip)
    assert boxes.shape == (50, 3)
    np.testing.assert_array_equal(boxes, np.broadcast_to(boxes[0], boxes.shape))
    assert boxes[0, 2] == pytest.approx(BOX_SIDE * 100)
    low = normalise(clip, boxes)[..., 1].min(axis=1)
    high = normalise(clip, boxes)[..., 1].max(axis=1)
    assert (high - low) / 2 == pytest.approx(1 / BOX_SIDE)  # 62 % of the height
    assert (high + low).mean() / 2 == pytest.approx(2 * BOX_RISE)  # the face sits a bit low, for the hair


def test_box_follows_smoothly_a_face_that_travels(clip, rng):
    walk = np.linspace(0, 600, 50)[:, None, None] * [1, 0, 0]
    boxes = crop_track(clip + walk)
    inside = normalise(clip + walk, boxes)[..., :2]
    assert abs(inside).max() < 1
    steps = np.diff(boxes[:, 0])
    assert (steps >= 0).all()
    assert abs(np.diff(steps)).max() < 5  # the face itself jitters by up to 20 pixels from frame to frame
    np.testing.assert_array_equal(boxes[:, 2], boxes[0, 2])


def test_box_commutes_with_scaling_and_moving_the_frame(clip):
    boxes = crop_track(clip)
    np.testing.assert_allclose(crop_track(3 * clip + [7, -4, 0]), 3 * boxes + [7, -4, 0], rtol=1e-9)


def test_crop_of_whole_pixels_is_a_slice(rng):
    image = rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop_image(image, np.array([20.0, 15.0, 16.0]), 16), image[7:23, 12:28])


def test_crop_repeats_the_border(rng):
    image = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    cropped = crop_image(image, np.array([4.0, 4.0, 16.0]), 16)
    np.testing.assert_array_equal(cropped, np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="edge"))
    far = crop_image(image, np.array([100.0, 100.0, 16.0]), 4)
    np.testing.assert_array_equal(far, np.broadcast_to(image[-1, -1], far.shape))


def test_a_box_anywhere_sees_the_picture_with_its_border_repeated():
    rng = np.random.default_rng(0)
    for _ in range(200):
        image = rng.integers(0, 256, (*rng.integers(1, 30, 2), 3), dtype=np.uint8)
        box = np.array([*rng.uniform(-40, 70, 2), rng.uniform(1, 40)])
        wide = np.pad(image, [(200, 200), (200, 200), (0, 0)], mode="edge")
        np.testing.assert_array_equal(crop_image(image, box, 8), crop_image(wide, box + np.array([200, 200, 0]), 8))


def test_shrinking_does_not_alias():
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = np.repeat(board[..., None], 3, axis=-1)
    # The finest checkerboard averages to grey; nearest or bilinear sampling would give black, white or stripes.
    assert abs(crop_image(image, np.array([128.0, 128.0, 200.0]), 32).astype(int) - 128).max() <= 2


def test_landmarks_stay_on_what_they_mark(rng):
    y, x = np.mgrid[:200, :200] + 0.5
    spot = np.array([83.0, 121.0, 0.0])
    image = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / 50)[..., None].repeat(3, -1)
    box = np.array([90.3, 110.8, 101.7])
    cropped = crop_image((255 * image).astype(np.uint8), box, 64)[..., 0].astype(float)
    y, x = np.mgrid[:64, :64] + 0.5
    centre = np.array([(x * cropped).sum(), (y * cropped).sum()]) / cropped.sum() / 32 - 1
    np.testing.assert_allclose(centre, normalise(spot[None], box)[0, :2], atol=0.01)  # a third of a pixel of 64


@pytest.mark.parametrize("box", [[100.0, 80.0, 64.0], [101.3, 77.9, 71.2], [10.0, 150.0, 80.0]])
def test_pasting_a_crop_back_changes_nothing(rng, box):
    image = smooth_picture(rng, 160, 208)
    pasted = paste_back(image, crop_image(image, np.array(box), 128), np.array(box))
    assert abs(pasted.astype(int) - image).max() <= 3  # two Lanczos filterings of a smooth picture


def test_pasting_is_soft_and_local(rng):
    frame = np.zeros((100, 100, 3), np.uint8)
    pasted = paste_back(frame, np.full((32, 32, 3), 200, np.uint8), np.array([50.0, 50.0, 40.0]))
    assert (pasted[40:60, 40:60] == 200).all()
    assert pasted[30:70, 30:70].sum() == pasted.sum()
    assert abs(np.diff(pasted[50, :, 0].astype(int))).max() <= 200 * 0.75  # over 2 pixels, not 1
    assert not frame.any()
    np.testing.assert_array_equal(paste_back(frame, pasted, np.array([500.0, 50.0, 40.0])), frame)
