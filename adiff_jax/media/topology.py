"""Which of MediaPipe's 478 landmarks are what. Right and left are the person's own: right is at the picture's left."""

from typing import NamedTuple

# Points that expressions hardly move: forehead, bridge and ridge of the nose, eye corners, temples, before the ears.
STABLE = (
    10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 109, 338, 67, 297, 103, 332, 54, 284, 21, 251, 162, 389,
    127, 356, 234, 454, 33, 133, 362, 263,
)  # fmt: skip


class Eye(NamedTuple):
    """One eye.

    Attributes:
        corners: outer and inner.
        upper, lower: the lids' edges without the corners; equal places are opposite each other.
        iris: the centre and four points on the rim.
    """

    corners: tuple[int, int]
    upper: tuple[int, ...]
    lower: tuple[int, ...]
    iris: tuple[int, ...]


RIGHT_EYE = Eye(
    corners=(33, 133),
    upper=(246, 161, 160, 159, 158, 157, 173),
    lower=(7, 163, 144, 145, 153, 154, 155),
    iris=(468, 469, 470, 471, 472),
)
LEFT_EYE = Eye(
    corners=(263, 362),
    upper=(466, 388, 387, 386, 385, 384, 398),
    lower=(249, 390, 373, 374, 380, 381, 382),
    iris=(473, 474, 475, 476, 477),
)
EYES = (RIGHT_EYE, LEFT_EYE)

MOUTH_CORNERS = (61, 291)

# The rings of each lip without the corners, from the inner edge (where the lips touch) to the outer one; equal places
# of all rings, of both lips, lie on a line across the mouth.
UPPER_LIP = (
    (191, 80, 81, 82, 13, 312, 311, 310, 415),
    (183, 42, 41, 38, 12, 268, 271, 272, 407),
    (184, 74, 73, 72, 11, 302, 303, 304, 408),
    (185, 40, 39, 37, 0, 267, 269, 270, 409),
)
LOWER_LIP = (
    (95, 88, 178, 87, 14, 317, 402, 318, 324),
    (96, 89, 179, 86, 15, 316, 403, 319, 325),
    (77, 90, 180, 85, 16, 315, 404, 320, 307),
    (146, 91, 181, 84, 17, 314, 405, 321, 375),
)
