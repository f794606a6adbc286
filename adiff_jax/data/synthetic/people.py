"""Who is drawn: every attribute of a synthetic person, drawn by seed, and the words for it.

Vocabulary. Colours come from the tables below and nowhere else: an attribute has a name and the sRGB colour it stands
for, up to the table's spread. Captions use these names, so a metric can compare words, colours and pictures.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from adiff_jax.data.synthetic.shape import FaceShape

RGB = tuple[int, int, int]

SPREAD = 10  # a colour lies within this distance of its table entry, in each of R, G and B (0-255)

SHAPE_SPREAD = 0.8  # of the face shapes, in standard deviations of `FaceShape`

SKIN_COLOURS: dict[str, RGB] = {
    "fair": (240, 206, 184), "light": (226, 183, 154), "olive": (204, 162, 124), "tan": (180, 131, 94),
    "brown": (137, 92, 64), "dark brown": (98, 64, 46), "very dark": (68, 45, 36),
}  # fmt: skip
HAIR_COLOURS: dict[str, RGB] = {
    "black": (30, 26, 27), "dark brown": (62, 41, 30), "brown": (101, 68, 45), "blond": (205, 164, 104),
    "red": (148, 62, 28), "grey": (138, 136, 134), "white": (218, 214, 208), "pink": (214, 110, 150),
    "blue": (58, 88, 160),
}  # fmt: skip
EYE_COLOURS: dict[str, RGB] = {
    "brown": (94, 60, 34), "dark brown": (58, 38, 26), "blue": (92, 136, 176), "green": (104, 130, 84),
    "grey": (132, 142, 148), "hazel": (128, 100, 54),
}  # fmt: skip
CLOTHES_COLOURS: dict[str, RGB] = {
    "red": (178, 38, 42), "orange": (222, 120, 44), "yellow": (226, 190, 66), "green": (50, 126, 70),
    "teal": (32, 126, 128), "blue": (48, 84, 168), "navy": (34, 42, 84), "purple": (112, 60, 138),
    "pink": (224, 136, 166), "brown": (110, 76, 52), "black": (34, 34, 38), "grey": (126, 128, 132),
    "white": (230, 230, 228),
}  # fmt: skip
BACKGROUND_COLOURS: dict[str, RGB] = {
    "red": (150, 70, 66), "orange": (204, 142, 94), "yellow": (216, 196, 128), "green": (104, 142, 104),
    "teal": (84, 142, 144), "blue": (98, 132, 178), "purple": (128, 104, 152), "pink": (208, 160, 172),
    "brown": (122, 98, 80), "dark grey": (66, 68, 74), "grey": (138, 140, 144), "white": (218, 218, 214),
}  # fmt: skip
GLASSES_COLOURS: dict[str, RGB] = {
    "black": (26, 26, 28), "brown": (84, 52, 34), "red": (150, 34, 38), "blue": (40, 60, 120),
    "golden": (176, 140, 70), "silver": (160, 162, 168),
}  # fmt: skip

HAIR_CUTS = ("bald", "buzz", "short", "receding", "side-parted", "fringe", "curly", "afro", "bun", "bob", "long")
CUTS_OF_MEN = ("bald", "buzz", "short", "short", "receding", "side-parted", "side-parted", "curly", "afro", "long")
CUTS_OF_WOMEN = (
    "short",
    "side-parted",
    "fringe",
    "fringe",
    "curly",
    "afro",
    "bun",
    "bob",
    "bob",
    "long",
    "long",
    "long",
)
GLASSES = ("none", "round", "rectangular", "oval", "cat-eye")
BEARDS = ("none", "stubble", "moustache", "goatee", "full beard")
CLOTHES = ("t-shirt", "v-neck", "shirt", "hoodie", "turtleneck")
PATTERNS = ("plain", "striped", "checked")
BACKGROUNDS = ("wall", "gradient", "two-tone wall", "lights", "room")


class Colour(NamedTuple):
    """A named colour: `rgb` in sRGB, 0-255, is the drawn one, within `SPREAD` of the name's table entry."""

    name: str
    rgb: RGB

    @property
    def linear(self) -> np.ndarray:
        """The colour in linear light, float32 in [0, 1]."""
        return linear_rgb(np.array(self.rgb, np.float32))


@dataclass(frozen=True)
class Person:
    """A synthetic person and the scene around them. Equal seeds give equal persons.

    Attributes:
        seed: of the details (strands, freckles, wrinkles) that have no attribute of their own.
        gender: "woman" or "man"; steers shape, cuts, beard and make-up.
        age: years.
        shape: identity of the face.
        head_height, head_depth, neck_width: factors of the average.
        skin, hair, eyes, clothes, pattern_colour, background, second_background, glasses_colour: colours.
        lip_redness, blush, freckles, make_up, brow_thickness, brow_darkness: in [0, 1].
        hair_volume: factor of the cut's average.
        parting: side of the parting, -1 the picture's left, 1 its right.
        light: direction to the lamp: degrees to the picture's right and degrees upwards from the camera.
        warmth: of the lamp, -1 cold to 1 warm.
        contrast: share of the lamp in the light, in [0, 1].
    """

    seed: int
    gender: str
    age: int
    shape: FaceShape
    head_height: float
    head_depth: float
    neck_width: float
    skin: Colour
    lip_redness: float
    blush: float
    freckles: float
    make_up: float
    brow_thickness: float
    brow_darkness: float
    eyes: Colour
    hair: Colour
    cut: str
    hair_volume: float
    parting: int
    beard: str
    glasses: str
    glasses_colour: Colour
    garment: str
    pattern: str
    clothes: Colour
    pattern_colour: Colour
    backdrop: str
    background: Colour
    second_background: Colour
    light: tuple[float, float]
    warmth: float
    contrast: float

    def attributes(self) -> dict[str, str | int | RGB]:
        """Names and colours for evaluation; values are plain (JSON-ready once tuples become lists)."""
        attributes: dict[str, str | int | RGB] = {
            "gender": self.gender, "age": self.age, "cut": self.cut, "beard": self.beard, "glasses": self.glasses,
            "garment": self.garment, "pattern": self.pattern, "backdrop": self.backdrop,
        }  # fmt: skip
        for part in ("skin", "eyes", "hair", "clothes", "background", "glasses_colour"):
            colour: Colour = getattr(self, part)
            attributes[part] = colour.name
            attributes[f"{part}_rgb"] = colour.rgb
        return attributes

    def caption(self, variant: int = 0) -> str:
        """One English phrase about the person; `variant` chooses one of `NUM_CAPTIONS` wordings, modulo that number."""
        return _CAPTIONS[variant % NUM_CAPTIONS](self)

    def hard_negatives(self, count: int = 24) -> tuple[str, ...]:
        """Captions, drawn at random, of `count` persons who differ from this one in one attribute that is named."""
        rng = np.random.default_rng([self.seed, 0x4E67])
        negatives: list[str] = []
        while len(negatives) < count:
            name, table = _NAMED[rng.integers(len(_NAMED))]
            other = str(rng.choice(tuple(table)))
            value = Colour(other, table[other]) if isinstance(table, dict) else other
            changed = {name: int(value) if name == "age" else value}
            if name == "beard" and self.gender == "woman":
                continue
            variant = int(rng.integers(NUM_CAPTIONS))
            caption = replace(self, **changed).caption(variant)
            if caption != self.caption(variant):
                negatives.append(caption)
        return tuple(negatives)


def _a(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _who(person: Person) -> str:
    age = "young " if person.age < 32 else "old " if person.age >= 60 else ""
    return f"{age}{person.gender}"


def _hair(person: Person) -> str:
    nouns = {
        "buzz": "{} buzz cut", "short": "short {} hair", "receding": "receding {} hair", "afro": "{} afro",
        "side-parted": "side-parted {} hair", "fringe": "{} hair with a fringe", "curly": "curly {} hair",
        "bun": "{} hair in a bun", "bob": "{} bob", "long": "long {} hair",
    }  # fmt: skip
    if person.cut == "bald":
        return "a bald head"
    noun = nouns[person.cut].format(person.hair.name)
    return _a(noun) if person.cut in ("buzz", "afro", "bob") else noun


def _face(person: Person) -> str:
    extras = []
    if person.beard == "stubble":
        extras.append("stubble")
    elif person.beard != "none":
        extras.append(_a(person.beard))
    if person.glasses != "none":
        extras.append(f"{person.glasses_colour.name} {person.glasses} glasses")
    return (
        " and ".join([_hair(person), *extras]) if len(extras) < 2 else f"{_hair(person)}, {extras[0]} and {extras[1]}"
    )


def _clothes(person: Person) -> str:
    pattern = "" if person.pattern == "plain" else f"{person.pattern} "
    return _a(f"{person.clothes.name} {pattern}{person.garment}")


def _scene(person: Person) -> str:
    place = {
        "wall": "{} wall", "gradient": "{} background", "two-tone wall": "{} two-tone wall",
        "lights": "blurred {} lights", "room": "blurred {} room",
    }  # fmt: skip
    scene = place[person.backdrop].format(person.background.name)
    return scene if person.backdrop == "lights" else _a(scene)


_CAPTIONS = (
    lambda p: f"{_a(_who(p))} with {_face(p)} wearing {_clothes(p)} in front of {_scene(p)}",
    lambda p: f"portrait of {_a(_who(p))} with {_face(p)}",
    lambda p: f"a {p.gender} with {_hair(p)} in {_clothes(p)}",
    lambda p: f"a person with {_face(p)}, {p.skin.name} skin and {p.eyes.name} eyes, wearing {_clothes(p)}",
    lambda p: f"a {p.gender} in front of {_scene(p)} wearing {_clothes(p)}",
)
NUM_CAPTIONS = len(_CAPTIONS)
# Attributes that captions name, with their values; of age, one a word.
_NAMED = (
    ("gender", ("woman", "man")), ("age", ("25", "45", "70")), ("skin", SKIN_COLOURS), ("eyes", EYE_COLOURS),
    ("hair", HAIR_COLOURS), ("cut", HAIR_CUTS), ("beard", BEARDS), ("glasses", GLASSES),
    ("glasses_colour", GLASSES_COLOURS), ("garment", CLOTHES), ("pattern", PATTERNS), ("clothes", CLOTHES_COLOURS),
    ("backdrop", BACKGROUNDS), ("background", BACKGROUND_COLOURS),
)  # fmt: skip


_LINEAR = np.where(
    np.arange(256) <= 10, np.arange(256) / 255 / 12.92, ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4
).astype(np.float32)


def linear_rgb(srgb: np.ndarray) -> np.ndarray:
    """Linear light, float32 in [0, 1], of sRGB values in [0, 255], rounded to whole numbers."""
    return _LINEAR[np.clip(np.rint(srgb), 0, 255).astype(np.uint8)]


def _draw_colour(rng: np.random.Generator, table: dict[str, RGB], names: tuple[str, ...] = ()) -> Colour:
    name = str(rng.choice(names or tuple(table)))
    # A lighter or darker shade of the table's colour, hardly another hue.
    base = np.array(table[name])
    spread = SPREAD * np.minimum(base / 110, 1)
    shade = (rng.uniform(-0.7, 0.7) + rng.uniform(-0.3, 0.3, 3)) * spread
    rgb = np.clip(np.rint(base + shade), 0, 255)
    return Colour(name, (int(rgb[0]), int(rgb[1]), int(rgb[2])))


def _draw_shape(rng: np.random.Generator, gender: str) -> FaceShape:
    shape = FaceShape.sample(rng)
    sign = 1 if gender == "man" else -1
    means = {"jaw_width": 0.4, "jaw_angle": 0.3, "chin_width": 0.4, "brow_ridge": 0.5, "nose_width": 0.2}
    means |= {"brow_height": -0.3, "eye_opening": -0.3, "lower_lip": -0.3, "upper_lip": -0.2}
    values = {field.name: SHAPE_SPREAD * getattr(shape, field.name) for field in fields(shape)}
    return FaceShape(**{name: value + sign * means.get(name, 0.0) for name, value in values.items()})


def sample_person(seed: int) -> Person:
    """Draws a person: the same for the same seed, on every machine."""
    rng = np.random.default_rng([seed, 0x9E75])
    gender = str(rng.choice(("woman", "man")))
    age = int(np.clip(rng.gamma(6.0, 6.5) + 10, 18, 85))
    natural = ("black", "black", "dark brown", "dark brown", "brown", "brown", "blond", "blond", "red")
    skin = _draw_colour(rng, SKIN_COLOURS)
    if skin.name in ("brown", "dark brown", "very dark"):
        natural = ("black", "black", "dark brown", "brown")
    if age > 50 and rng.random() < 0.65:
        natural = ("grey", "white")
    elif rng.random() < 0.07:
        natural = ("pink", "blue")
    dark_eyes = ("brown", "dark brown") if skin.name not in ("fair", "light") else ()
    man = gender == "man"
    cut = str(rng.choice(CUTS_OF_MEN if man else CUTS_OF_WOMEN))
    if cut in ("bald", "receding") and age < 28:
        cut = "buzz"
    clothes = _draw_colour(rng, CLOTHES_COLOURS)
    contrasting = tuple(name for name in CLOTHES_COLOURS if name != clothes.name)
    return Person(
        seed=int(seed),
        gender=gender,
        age=age,
        shape=_draw_shape(rng, gender),
        head_height=float(rng.uniform(0.96, 1.05)),
        head_depth=float(rng.uniform(0.95, 1.05)),
        neck_width=float(rng.uniform(0.98, 1.12) if man else rng.uniform(0.84, 0.95)),
        skin=skin,
        lip_redness=float(rng.uniform(0.1, 0.45) if man else rng.uniform(0.3, 1.0)),
        blush=float(rng.uniform(0, 0.6) if man else rng.uniform(0.1, 1.0)),
        freckles=float(rng.uniform(0.4, 1) if rng.random() < (0.35 if skin.name in ("fair", "light") else 0.05) else 0),
        make_up=float(0 if man else rng.uniform(0, 1)),
        brow_thickness=float(rng.uniform(0.45, 1.0) if man else rng.uniform(0.15, 0.7)),
        brow_darkness=float(rng.uniform(0.5, 1.0)),
        eyes=_draw_colour(rng, EYE_COLOURS, dark_eyes),
        hair=_draw_colour(rng, HAIR_COLOURS, natural),
        cut=cut,
        hair_volume=float(rng.uniform(0.8, 1.2)),
        parting=int(rng.choice((-1, 1))),
        beard=str(rng.choice(BEARDS, p=(0.45, 0.2, 0.1, 0.1, 0.15))) if man else "none",
        glasses=str(rng.choice(GLASSES[1:])) if rng.random() < 0.3 else "none",
        glasses_colour=_draw_colour(rng, GLASSES_COLOURS),
        garment=str(rng.choice(CLOTHES)),
        pattern=str(rng.choice(PATTERNS, p=(0.5, 0.3, 0.2))),
        clothes=clothes,
        pattern_colour=_draw_colour(rng, CLOTHES_COLOURS, contrasting),
        backdrop=str(rng.choice(BACKGROUNDS)),
        background=_draw_colour(rng, BACKGROUND_COLOURS),
        second_background=_draw_colour(rng, BACKGROUND_COLOURS),
        light=(float(rng.uniform(-55, 55)), float(rng.uniform(10, 55))),
        warmth=float(rng.uniform(-0.7, 1)),
        contrast=float(rng.uniform(0.3, 0.8)),
    )
