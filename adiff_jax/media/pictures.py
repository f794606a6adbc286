"""Picture files as uint8 RGB arrays, whatever mode they are stored in."""

import contextlib
import os
import warnings
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from adiff_jax.media.errors import MediaError
from adiff_jax.media.files import existing_file, write_aside
from adiff_jax.media.limits import LOCAL, PICTURE_FORMATS, Limits, megapixels


def read_picture(path: str | os.PathLike, limits: Limits = LOCAL) -> UInt8[np.ndarray, "H W 3"]:
    """Reads a picture as RGB, upright as its EXIF orientation says.

    16-bit pictures are reduced to 8 bits, transparent ones are laid over white, CMYK, palette, grey and YCbCr are
    converted (colour profiles are not applied). Of an animated picture the first frame is read.

    Raises:
        MediaError: `path` does not exist, is a folder, is not a picture, ends early, is over the limits, or stores
            colours in a way that is none of the above.
    """
    with _opened(path, limits) as image:
        return _as_rgb(ImageOps.exif_transpose(image))


def is_picture(path: str | os.PathLike) -> bool:
    """Whether the file begins as a picture does, whatever its name.

    Raises:
        MediaError: `path` does not exist, is a folder, or is empty.
    """
    path = existing_file(path, "picture or video")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            Image.open(path, formats=PICTURE_FORMATS).close()
    except Image.DecompressionBombError:
        return True
    except (OSError, SyntaxError, ValueError):
        return False
    return True


@contextlib.contextmanager
def _opened(path: str | os.PathLike, limits: Limits) -> Iterator[Image.Image]:
    path = existing_file(path, "picture", limits.file_bytes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the check below is stricter
            image = Image.open(path, formats=PICTURE_FORMATS)
        with image:
            if image.width * image.height > limits.picture_pixels:
                most = megapixels(limits.picture_pixels)
                raise MediaError(f"{path}: {image.width}x{image.height} is over {most}; shrink it")
            yield image
    except Image.DecompressionBombError as error:
        raise MediaError(f"{path}: over {megapixels(limits.picture_pixels)}; shrink it") from error
    except Image.UnidentifiedImageError as error:
        raise MediaError(f"{path}: not a picture that can be read") from error
    except MediaError:
        raise
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow's decoders raise on damage
        raise MediaError(f"{path}: the picture is damaged ({error})") from error


def write_picture(path: str | os.PathLike, image: UInt8[np.ndarray, "H W 3"]) -> None:
    """Writes an RGB picture in the format of the name's ending (`.png`, `.jpg`, `.webp`), complete or not at all.

    Raises:
        MediaError: the ending is none that pictures have, or `path` cannot be written.
    """
    try:
        with write_aside(path) as aside:
            Image.fromarray(image).save(aside, quality=95)
    except (KeyError, ValueError) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError(f"{path}: a picture's name ends in .png, .jpg or .webp") from error


def _as_rgb(image: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    if image.mode.startswith("I"):  # "I;16" and its byte orders; 16-bit PNGs of other kinds open as "I"
        grey = np.clip(np.asarray(image).astype(np.int64) / 257, 0, 255).round().astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode in ("F", "LAB", "HSV"):
        raise MediaError(f"pictures in mode {image.mode} are not supported; save it as 8- or 16-bit RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))
