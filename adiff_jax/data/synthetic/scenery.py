"""Textures beyond the face: strands of hair, cloth, and the background picture."""

import numpy as np
from jaxtyping import Float32, UInt8

from adiff_jax.data.synthetic.hair import CUTS
from adiff_jax.data.synthetic.people import Person, linear_rgb
from adiff_jax.data.synthetic.raster import CUTS as COVER_CUTS


def strand_texture(person: Person) -> Float32[np.ndarray, "256 256 2"]:
    """Brightness factor of strands (u across, v along), and the cover below which they are cut. Tiles."""
    rng = np.random.default_rng([person.seed, 0x57A])
    curls = person.cut in CUTS and CUTS[person.cut].curls
    layers = (
        ((1.4, 1.4, 0.5), (3.2, 3.2, 1.0), (8, 8, 0.7)) if curls else ((0.9, 40, 1.0), (3.5, 60, 0.9), (0.7, 12, 0.5))
    )
    fine = sum(weight * _tiled_noise(rng, across, along) for across, along, weight in layers)
    fine /= fine.std()
    brightness = np.clip(1 + (0.38 if curls else 0.24) * fine, 0.35, 1.9)
    ends = _tiled_noise(rng, 1.8, 1.8) if curls else _tiled_noise(rng, 1.2, 30)
    return np.stack([brightness, np.clip(0.5 + 0.2 * ends, *COVER_CUTS)], axis=-1).astype(np.float32)


def _tiled_noise(rng: np.random.Generator, across: float, along: float, size: int = 256) -> Float32[np.ndarray, "N N"]:
    """Gaussian noise of unit variance, periodic, smoothed over `across` texels in rows and `along` in columns."""
    noise = np.fft.rfft2(rng.standard_normal((size, size)))
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    noise = np.fft.irfft2(noise * np.exp(-2 * np.pi**2 * ((along * fy) ** 2 + (across * fx) ** 2)))
    return (noise / noise.std()).astype(np.float32)


def cloth_texture(person: Person) -> Float32[np.ndarray, "256 256 3"]:
    """Linear RGB of one repeat of the pattern; 24 cm of cloth."""
    rng = np.random.default_rng([person.seed, 0xC107])
    base, second = np.array(person.clothes.rgb, np.float32), np.array(person.pattern_colour.rgb, np.float32)
    texture = np.empty((256, 256, 3), np.float32)
    texture[:] = base
    stripe = (np.arange(256) % 32 < 11).astype(np.float32)
    if person.pattern == "striped":
        texture += stripe[:, None, None] * (second - base)
    elif person.pattern == "checked":
        texture += 0.5 * (stripe[:, None, None] + stripe[None, :, None]) * (second - base)
    texture *= 1 + 0.05 * _tiled_noise(rng, 14, 22)[..., None] + 0.03 * _tiled_noise(rng, 0.7, 0.7)[..., None]
    return linear_rgb(np.clip(texture, 0, 255))


def background_picture(person: Person, size: int) -> UInt8[np.ndarray, "N N 3"]:
    """What is behind the person, sRGB, N = `size`. The same scene at every size."""
    rng = np.random.default_rng([person.seed, 0xBAC])
    base, second = np.array(person.background.rgb, np.float32), np.array(person.second_background.rgb, np.float32)
    y, x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size
    lamp = 1.08 - 0.30 * np.hypot(x - 0.5 - 0.4 * np.sign(person.light[0]), y - 0.3)
    picture = np.empty((size, size, 3), np.float32)
    picture[:] = base
    if person.backdrop == "gradient":
        picture *= (1.2 - 0.55 * y)[..., None]
    elif person.backdrop == "two-tone wall":
        split = float(rng.uniform(0.45, 0.75))
        mask = np.clip((y - split) * size / 2 + 0.5, 0, 1)[..., None]
        picture = picture * (1 - mask) + 0.72 * base * mask
    elif person.backdrop == "lights":
        picture *= 0.55
        for _ in range(14):
            cx, cy, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.03, 0.09)
            colour = base + rng.uniform(0, 0.5) * (second - base)
            disc = np.clip((radius - np.hypot(x - cx, y - cy)) / 0.015 + 0.5, 0, 1)
            picture += (rng.uniform(0.25, 0.75) * disc)[..., None] * (1.25 * colour - 0.4 * picture)
    elif person.backdrop == "room":
        for _ in range(7):
            cx, cy, w, h = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.05, 0.2), rng.uniform(0.1, 0.35)
            colour = (base + rng.uniform(0, 0.35) * (second - base)) * rng.uniform(0.6, 1.25)
            soft = 0.02
            box = np.clip((w - np.abs(x - cx)) / soft, 0, 1) * np.clip((h - np.abs(y - cy)) / soft, 0, 1)
            picture += (0.75 * box)[..., None] * (colour - picture)
    return np.clip(picture * lamp[..., None], 0, 255).astype(np.uint8)
