"""A text as a picture, which stands where a source's picture would: in sheets and side-by-side videos."""

import textwrap

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

WRAP = 18  # letters a line
MARGIN = 0.06  # of the card's side


def text_card(text: str, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The text in dark letters on white, wrapped, as large as fits."""
    card = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(card)
    margin = MARGIN * size
    lines = "\n".join(textwrap.wrap(text, WRAP)) or " "
    points = size / 8
    while True:
        font = ImageFont.load_default(points)
        _, top, right, bottom = draw.multiline_textbbox((margin, margin), lines, font=font)
        if points < 4 or max(right, bottom) <= size - margin:
            break
        points *= 0.9
    draw.multiline_text((margin, (size - (bottom - top)) / 2 - (top - margin)), lines, "#202020", font)
    return np.asarray(card)
