"""Pictures in every mode come out as the same RGB, and bad ones as one clear line."""

import numpy as np
import pytest
from PIL import Image

from adiff_jax.media.errors import MediaError
from adiff_jax.media.pictures import read_picture, write_picture


@pytest.fixture
def image(rng):
    small = rng.integers(0, 255, (6, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((45, 30), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_round_trip(tmp_path, image, suffix):
    write_picture(tmp_path / f"a{suffix}", image)
    read = read_picture(tmp_path / f"a{suffix}")
    assert read.dtype == np.uint8 and read.shape == image.shape
    limit = 0 if suffix == ".png" else 8  # mean error of JPEG and WebP at quality 95, chroma subsampled
    assert abs(read.astype(int) - image).mean() <= limit
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, image, orientation):
    stored = Image.fromarray(image)
    exif = stored.getexif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    turn = {1: 0, 2: "x", 3: 2, 4: "y", 5: "t", 6: -1, 7: "a", 8: 1}[orientation]
    flips = {"x": image[:, ::-1], "y": image[::-1], "t": image.swapaxes(0, 1), "a": image[::-1, ::-1].swapaxes(0, 1)}
    expected = flips[turn] if isinstance(turn, str) else np.rot90(image, turn)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), expected)


def test_sixteen_bits(tmp_path, rng):
    grey = rng.integers(0, 65536, (8, 8), dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    read = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(read, np.repeat((grey / 257).round().astype(np.uint8)[..., None], 3, axis=-1))


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = 0, 128, 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png")[0, :, 0], [255, 127, 0])
    palette = Image.new("P", (1, 1))
    palette.putpalette([10, 20, 30])
    palette.save(tmp_path / "b.png", transparency=0)
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png"), [[[255, 255, 255]]])


@pytest.mark.parametrize(
    ("mode", "suffix"), [("CMYK", ".jpg"), ("P", ".png"), ("L", ".png"), ("1", ".png"), ("LA", ".png")]
)
def test_other_modes(tmp_path, image, mode, suffix):
    stored = Image.fromarray(image).convert(mode)
    stored.save(tmp_path / f"a{suffix}", quality=100)
    expected = np.asarray(stored.convert("RGB")).astype(int)
    assert abs(read_picture(tmp_path / f"a{suffix}") - expected).mean() < 3  # JPEG at quality 100


def test_bad_pictures_are_one_clear_line(tmp_path, image):
    write_picture(tmp_path / "a.png", image)
    (tmp_path / "half.png").write_bytes((tmp_path / "a.png").read_bytes()[:400])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture")
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "float.tiff")
    for name, message in {
        "none.png": "no such picture",
        ".": "is a folder",
        "empty.png": "is empty",
        "text.png": "not a picture",
        "half.png": "damaged",
        "float.tiff": "mode F",
    }.items():
        with pytest.raises(MediaError, match=message) as raised:
            read_picture(tmp_path / name)
        assert "\n" not in str(raised.value)


def test_write_refuses(tmp_path, image):
    for name in ("a", "a.txt"):
        with pytest.raises(MediaError, match="ends in"):
            write_picture(tmp_path / name, image)
    with pytest.raises(MediaError, match="folder"):
        write_picture(tmp_path, image)
    assert not list(tmp_path.iterdir())
