"""Draws a synthetic person from the 478 landmark positions of a frame.

    Person ──► neutral shape ──► parts (skull, neck, hair ...)  ┐   made once a person
           └─► textures, light ──────────────────────────────── ┤
    vertices [478, 3] ──► head frame ──► surface ──► rasterise ──► shade ──► picture

The landmarks alone say how the face looks in a frame: the mesh is drawn through them, eyes and mouth within their
contours, and the rest of the head is carried along by the rigid motion of the points that expressions hardly move.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from adiff_jax.data.synthetic import materials, mesh
from adiff_jax.data.synthetic.appearance import face_texture, lip_colour, mipmaps
from adiff_jax.data.synthetic.garments import garment
from adiff_jax.data.synthetic.glasses import glasses
from adiff_jax.data.synthetic.hair import CUTS, hair
from adiff_jax.data.synthetic.head import OVAL, Part, Pose, ears, join, neck, place, skull
from adiff_jax.data.synthetic.openings import LIDS, LIPS, iris_frames, lashes, opening, thread_triangles
from adiff_jax.data.synthetic.people import Person, linear_rgb
from adiff_jax.data.synthetic.raster import Surface, rasterise, vertex_normals
from adiff_jax.data.synthetic.scenery import background_picture, cloth_texture, strand_texture
from adiff_jax.data.synthetic.shading import TONE, Light, Look, Openings, shade
from adiff_jax.data.synthetic.shape import neutral_shape
from adiff_jax.media.topology import STABLE

LABELS = ("background", "face", "skin", "eyes", "mouth", "hair", "clothes", "glasses")
"""The regions of a label map, by value."""

REST = np.array([0.0, 0.02])  # where the head's origin rests above the torso, in [-1, 1] of the picture
NECK_BASE = np.array([0.0, 12.0, 4.0])  # cm, head's frame: the point about which head and torso turn
LEAN = 0.2  # the torso turns by this share of the head's turn
REACH = 1.6  # cm the head moves over the torso before the torso follows

_LABEL_OF = np.zeros(materials.NUM_MATERIALS, np.uint8)
for _material, _label in (
    (materials.FACE, "face"), (materials.SKIN, "skin"), (materials.EYE_RIGHT, "eyes"), (materials.EYE_LEFT, "eyes"),
    (materials.MOUTH, "mouth"), (materials.HAIR, "hair"), (materials.CLOTH, "clothes"), (materials.FRAME, "glasses"),
    (materials.LASH, "eyes"),
):  # fmt: skip
    _LABEL_OF[_material] = LABELS.index(_label)

_FACE_COORDS = np.concatenate([mesh.UV, np.zeros((mesh.NUM_SURFACE, 1)), np.ones((mesh.NUM_SURFACE, 1))], axis=1)


class _Model(NamedTuple):
    """What is made once for a person."""

    neutral: Float32[np.ndarray, "478 3"]
    part: Part
    triangles: Int[np.ndarray, "T 3"]
    material: Int[np.ndarray, "T"]
    face_levels: tuple[Float32[np.ndarray, "h w 4"], ...]
    strand_levels: tuple[Float32[np.ndarray, "h w 2"], ...]
    cloth_levels: tuple[Float32[np.ndarray, "h w 3"], ...]
    look: Look
    light: Light
    lash_length: float


def head_pose(neutral: Float[np.ndarray, "478 3"], vertices: Float[np.ndarray, "478 3"]) -> Pose:
    """The similarity that best takes the stable points of the neutral face to those of a frame (Umeyama, 1991).

    Raises:
        ValueError: if the stable points of the frame coincide.
    """
    stable = list(STABLE)
    source, target = neutral[stable].astype(float), vertices[stable].astype(float)
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    source, target = source - source_mean, target - target_mean
    u, s, vt = np.linalg.svd(target.T @ source)
    if s[0] < 1e-12:
        raise ValueError("the vertices of the frame coincide: expected 478 landmark positions in [-1, 1]")
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((s * sign).sum() / (source**2).sum())
    return Pose(rotation, target_mean - scale * rotation @ source_mean, scale)


def light_of(person: Person) -> Light:
    """Lamp and sky of the person's scene."""
    right, up = np.radians(person.light)
    direction = np.array([np.sin(right) * np.cos(up), -np.sin(up), -np.cos(right) * np.cos(up)])
    warm = person.warmth * np.array([0.10, 0.0, -0.12])
    key = (0.46 + 0.50 * person.contrast) * (1 + warm)
    sky = (0.66 - 0.40 * person.contrast) * (1 - 0.7 * warm)
    ground = (0.40 - 0.26 * person.contrast) * (1 + 0.6 * warm)
    return Light(*(np.asarray(v, np.float32) for v in (direction, key, sky, ground)))


def _look(person: Person) -> Look:
    lash = np.minimum(person.skin.linear * 0.08, 0.02) if person.make_up < 0.3 else np.full(3, 0.004)
    gloss = 0.05 if person.cut in ("buzz", "bald") else 0.25 if person.cut in CUTS and CUTS[person.cut].curls else 0.8
    return Look(
        face=np.zeros((1, 1, 4), np.float32),
        strands=np.zeros((1, 1, 2), np.float32),
        cloth=np.zeros((1, 1, 3), np.float32),
        skin=person.skin.linear,
        lips=linear_rgb(lip_colour(person)),
        hair=person.hair.linear,
        iris=person.eyes.linear,
        frame=person.glasses_colour.linear,
        lash=lash.astype(np.float32),
        hair_gloss=gloss,
    )


@lru_cache(maxsize=64)
def _model(person: Person) -> _Model:
    neutral = neutral_shape(person.shape)
    # What is mostly in front comes first, so that less of what it hides is drawn.
    front = [*glasses(person, neutral), *hair(person, neutral), garment(person)]
    part = join([*front, ears(person, neutral), skull(person, neutral), neck(person)])
    holes = np.union1d(mesh.EYE_TRIANGLES, mesh.MOUTH_TRIANGLES)
    face = np.delete(mesh.TRIANGLES, holes, axis=0)[:, ::-1]
    triangles, material = [face, part.triangles], [np.full(len(face), materials.FACE), part.material]
    start = mesh.NUM_SURFACE + len(part.points)

    def add(grid: np.ndarray, of: int) -> None:
        nonlocal start
        triangles.append(start + grid)
        material.append(np.full(len(grid), of))
        start += grid.max() + 1

    for side, (upper, _, _) in enumerate(LIDS):
        grid = thread_triangles(len(upper))
        add(grid, (materials.EYE_RIGHT, materials.EYE_LEFT)[side])
    grid = thread_triangles(len(LIPS[0]))
    add(grid, materials.MOUTH)
    for upper, _, _ in LIDS:
        grid = thread_triangles(len(upper), rows=2)
        add(grid, materials.LASH)
    return _Model(
        neutral=neutral,
        part=part,
        triangles=np.concatenate(triangles).astype(np.int32),
        material=np.concatenate(material).astype(np.int32),
        face_levels=mipmaps(face_texture(person)),
        strand_levels=mipmaps(strand_texture(person)),
        cloth_levels=mipmaps(cloth_texture(person)),
        look=_look(person),
        light=light_of(person),
        lash_length=0.14 + 0.16 * person.make_up,
    )


@lru_cache(maxsize=64)
def _background(person: Person, size: int) -> UInt8[np.ndarray, "N N 3"]:
    return background_picture(person, size)


def _torso_pose(pose: Pose, samples: int) -> Pose:
    """The torso follows the head a little: part of its turn, and what goes beyond `REACH` of its shift."""
    u, _, vt = np.linalg.svd((1 - LEAN) * np.eye(3) + LEAN * pose.rotation)
    rest = np.array([*((REST + 1) * samples / 2), 0.0])
    reach = REACH * pose.scale
    shift = pose.translation - rest
    shift = shift - reach * np.tanh(0.6 * shift / reach)
    rotation = u @ vt
    return Pose(rotation, rest + shift + pose.scale * (NECK_BASE - rotation @ NECK_BASE), pose.scale)


def _surface(model: _Model, vertices: Float[np.ndarray, "478 3"], pose: Pose, samples: int) -> Surface:
    """All triangles of a frame; `vertices` and `pose` in samples."""
    part, face = model.part, vertices[: mesh.NUM_SURFACE]
    local = (vertices[OVAL] - pose.translation) @ pose.rotation / pose.scale
    body, body_tangents = place(part, local - model.neutral[OVAL], pose, _torso_pose(pose, samples))

    positions, coords = [face, body], [_FACE_COORDS, part.coords]
    for upper, lower in (LIDS[0][:2], LIDS[1][:2], LIPS):
        points, values = opening(vertices, upper, lower, pose.scale)
        positions.append(points)
        coords.append(values)
    for side in range(2):
        positions.append(lashes(vertices, side, pose.rotation, pose.scale, model.lash_length))
        coords.append(np.zeros((len(positions[-1]), 4)))
    positions = np.concatenate(positions).astype(np.float32)
    tangents = np.zeros_like(positions)
    tangents[len(face) : len(face) + len(body)] = body_tangents
    return Surface(
        positions=positions,
        normals=vertex_normals(positions, model.triangles),
        tangents=tangents,
        coords=np.concatenate(coords).astype(np.float32),
        triangles=model.triangles,
        material=model.material,
    )


def _openings(model: _Model, vertices: Float[np.ndarray, "478 3"], pose: Pose) -> Openings:
    """Irises and teeth: the upper teeth are fixed to the base of the nose, the lower ones to the chin."""
    local = (vertices[[2, 152, 13, 14]] - pose.translation) @ pose.rotation / pose.scale
    neutral = model.neutral[[2, 152, 13, 14]]
    upper_edge = max(local[0, 1] + neutral[2, 1] - neutral[0, 1] + 0.2, local[2, 1] + 0.18)
    lower_edge = local[1, 1] + neutral[3, 1] - neutral[1, 1] - 0.05
    lower_edge = max(min(lower_edge, local[3, 1] + 0.15), upper_edge + 0.03, local[3, 1] - 0.6)
    centre, inverse = iris_frames(vertices, pose.scale)
    return Openings(
        iris_centre=centre,
        iris_inverse=inverse,
        rotation=pose.rotation.astype(np.float32),
        translation=pose.translation.astype(np.float32),
        scale=float(pose.scale),
        upper_edge=float(upper_edge),
        lower_edge=float(lower_edge),
        front=float(0.5 * (local[2, 2] + local[3, 2]) + 0.35),
    )


def _level(levels: tuple[np.ndarray, ...], pixels: float) -> np.ndarray:
    """The level of a texture whose texels are about as large as pixels, when its side spans `pixels` of the picture."""
    level = round(np.log2(levels[0].shape[0] / max(1.0, pixels)) - 0.25)
    return levels[min(max(level, 0), len(levels) - 1)]


def _prepare(person: Person, vertices: np.ndarray, samples: int) -> tuple[_Model, np.ndarray, Pose, Surface]:
    vertices = np.asarray(vertices, np.float32)
    if vertices.shape != (mesh.NUM_LANDMARKS, 3) or not np.isfinite(vertices).all():
        raise ValueError(f"expected finite vertices of shape (478, 3), got {vertices.shape}")
    model = _model(person)
    vertices = (vertices + np.array([1, 1, 0], np.float32)) * np.float32(samples / 2)
    pose = head_pose(model.neutral, vertices)
    return model, vertices, pose, _surface(model, vertices, pose, samples)


def render_frame(
    person: Person, vertices: Float[np.ndarray, "478 3"], size: int, supersampling: int = 2
) -> UInt8[np.ndarray, "N N 3"]:
    """Draws the person with the face of a frame.

    Args:
        person: who, and the scene.
        vertices: landmark positions, x right and y down in [-1, 1] of the picture, z on the same scale, smaller is
            nearer: projected from a synthetic motion (`motion.project`), or retargeted from a real driver.
        size: width and height of the picture in pixels, N.
        supersampling: samples along each side of a pixel.

    Returns:
        sRGB picture.

    Raises:
        ValueError: if `vertices` have another shape, are not finite, or coincide.
    """
    samples = size * supersampling
    model, vertices, pose, surface = _prepare(person, vertices, samples)
    pixels_per_cm = pose.scale / supersampling
    look = model.look._replace(
        face=_level(model.face_levels, 24 * pixels_per_cm),
        strands=_level(model.strand_levels, 17 * pixels_per_cm),
        cloth=_level(model.cloth_levels, 24 * pixels_per_cm),
    )
    visible, weights = rasterise(surface, model.strand_levels[0], samples)
    openings = _openings(model, vertices, pose)
    return shade(visible, weights, surface, look, model.light, openings, _background(person, size), TONE)


def region_masks(person: Person, vertices: Float[np.ndarray, "478 3"], size: int) -> UInt8[np.ndarray, "N N"]:
    """The region of each pixel's centre, an index into `LABELS`: the ground truth for `render_frame`'s picture."""
    model, _, _, surface = _prepare(person, vertices, size)
    visible, _ = rasterise(surface, model.strand_levels[0], size)
    labels = _LABEL_OF[model.material][visible]
    labels[visible < 0] = LABELS.index("background")
    return labels
