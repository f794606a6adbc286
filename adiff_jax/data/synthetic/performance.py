"""What a face does over time: blendshape scores and head pose of a talking, looking, grimacing person, by chance.

Scores are those of MediaPipe's 52 blendshapes, in [0, 1]. They are the union of layers: a background that has the
distribution, the correlations and the speed of the pooled real clips (a Gaussian copula), speech, sustained
expressions, blinks, and gaze, which also answers to the head.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from adiff_jax.data.synthetic.shape import EXPRESSION
from adiff_jax.media.landmarks import BLENDSHAPES

_INDEX = {name: index for index, name in enumerate(BLENDSHAPES)}
_GAZE = [index for name, index in _INDEX.items() if "eyeLook" in name]
_BLINK = [_INDEX["eyeBlinkLeft"], _INDEX["eyeBlinkRight"]]
_FULL_GAZE = 33.0  # degrees at which a gaze score is 1


def _scores(**values: float) -> Float[np.ndarray, "52"]:
    """A row of scores; a name without Left or Right stands for both sides."""
    row = np.zeros(len(BLENDSHAPES))
    for name, value in values.items():
        for full in (name,) if name in _INDEX else (f"{name}Left", f"{name}Right"):
            row[_INDEX[full]] = value
    return row


VISEMES = np.stack(
    [
        _scores(jawOpen=0.5, mouthLowerDown=0.25),
        _scores(jawOpen=0.35, mouthUpperUp=0.15, mouthLowerDown=0.2),
        _scores(jawOpen=0.2, mouthSmile=0.3, mouthStretch=0.15, mouthUpperUp=0.25),
        _scores(jawOpen=0.22, mouthPucker=0.7, mouthFunnel=0.25),
        _scores(mouthPucker=0.9, jawOpen=0.06),
        _scores(jawOpen=0.08, mouthRollLower=0.4, mouthUpperUp=0.25),
        _scores(mouthPress=0.4, mouthRollLower=0.25, mouthShrugLower=0.2),
    ]
)
"""Mouth shapes of speech at full stress, from open vowels over rounded ones to closed lips."""

EXPRESSIONS = np.stack(
    [
        _scores(mouthSmile=0.9, eyeSquint=0.4),
        _scores(mouthSmile=0.95, jawOpen=0.35, mouthUpperUp=0.6, eyeSquint=0.7, browOuterUp=0.3),
        _scores(mouthPucker=1.0, mouthFunnel=0.15),
        _scores(browInnerUp=1.0, browOuterUp=1.0, eyeWide=0.4, jawOpen=0.45, mouthFunnel=0.3),
        _scores(browInnerUp=0.9, browOuterUp=0.9, eyeWide=0.3),
        _scores(mouthUpperUp=0.8, browDown=0.7, eyeSquint=0.8, mouthShrugLower=0.2),
        _scores(browDown=0.75, eyeSquint=0.5, mouthPress=0.4, mouthRollLower=0.3),
        _scores(browInnerUp=0.7, mouthFrown=0.2, mouthShrugLower=0.6),
        _scores(mouthStretch=0.4, mouthLowerDown=0.45, mouthUpperUp=0.5, eyeSquint=0.6, jawOpen=0.12),
        _scores(jawOpen=0.9, mouthLowerDown=0.35, eyeSquint=0.5),
        _scores(mouthRollLower=0.7, mouthRollUpper=0.65, mouthPress=0.3),
        _scores(mouthLeft=0.7, mouthSmileLeft=0.5, mouthDimpleLeft=0.3),
        _scores(mouthRight=0.7, mouthSmileRight=0.5, mouthDimpleRight=0.3),
        _scores(eyeBlinkLeft=0.9, eyeSquintLeft=0.6, mouthSmileLeft=0.4),
        _scores(eyeBlinkRight=0.9, eyeSquintRight=0.6, mouthSmileRight=0.4),
        _scores(eyeBlink=0.75, eyeSquint=0.8, browDown=0.6, mouthUpperUp=0.5),
    ]
)
"""Expressions that are held: smile, laugh, pucker, surprise, raised brows, disgust, anger, sadness, grimace, shout,
lips rolled in, mouth drawn to the left and right, winks, eyes screwed up."""


def smooth_noise(
    rng: np.random.Generator, num_frames: int, fps: float, times: Float[np.ndarray, "P"]
) -> Float[np.ndarray, "F P"]:
    """Stationary Gaussian noise of mean 0 and variance 1, whose autocorrelation is one half after `times` seconds."""
    width = np.asarray(times) * fps / (2 * np.sqrt(np.log(2)))
    length = num_frames + int(6 * width.max()) + 1  # the noise is periodic in this
    transfer = np.exp(-2 * (np.pi * np.fft.rfftfreq(length)[:, None] * width) ** 2)
    power = (transfer**2).sum(axis=0) * 2 - 1
    spectrum = np.fft.rfft(rng.standard_normal((length, len(width))), axis=0) * transfer
    return np.fft.irfft(spectrum, length, axis=0)[:num_frames] * np.sqrt(length / power)


def smooth_step(t: Float[np.ndarray, "*F"]) -> Float[np.ndarray, "*F"]:
    """Rises from 0 at t = 0 to 1 at t = 1, with no velocity or acceleration at either end."""
    t = np.clip(t, 0, 1)
    return t**3 * (10 + t * (6 * t - 15))


def holds(
    rng: np.random.Generator,
    seconds: Float[np.ndarray, "F"],
    pause: float,
    move: float,
    draw: Callable[[int], Float[np.ndarray, "N D"]],
) -> Float[np.ndarray, "F D"]:
    """Rests at targets and moves between them.

    Args:
        rng: source of randomness.
        seconds: the time of each frame.
        pause: mean time between two moves, seconds.
        move: mean duration of a move, seconds.
        draw: draws any number of targets.
    """
    number = int(2 * seconds[-1] / pause) + 4
    starts = np.cumsum(pause * rng.gamma(2, 0.5, number)) - pause
    durations = move * rng.uniform(0.6, 1.6, number)
    targets = draw(number + 1)
    return targets[0] + smooth_step((seconds[:, None] - starts) / durations) @ np.diff(targets, axis=0)


def sample_head(rng: np.random.Generator, seconds: Float[np.ndarray, "F"], fps: float) -> Float[np.ndarray, "F 3"]:
    """Yaw, pitch and roll in degrees: held directions and moves between them, drift, nods and shakes.

    Over clips the standard deviations are about 15, 8 and 6 degrees; yaw stays within 42, pitch and roll within 25.
    """
    base = rng.standard_normal(3) * (6, 4, 3)
    liveliness = 0.5 + rng.gamma(2, 0.3)
    spread = liveliness * np.array([14, 7, 5])
    angles = base + holds(rng, seconds, 1.2, 0.5, lambda n: rng.standard_normal((n, 3)) * spread)
    angles += liveliness * smooth_noise(rng, len(seconds), fps, np.full(3, 0.5)) * (1.5, 1.2, 1.0)
    number = rng.poisson(0.25 * seconds[-1] + 0.1)
    centres, widths = rng.uniform(0, seconds[-1] + 0.01, number), rng.uniform(0.25, 0.6, number)
    phase = 2 * np.pi * rng.uniform(1.2, 2.5, number) * (seconds[:, None] - centres)
    bursts = np.exp(-(((seconds[:, None] - centres) / widths) ** 2) / 2) * np.sin(phase)
    kinds = np.array([[8.0, 0, 1], [0, 6.0, 0]])[rng.integers(2, size=number)]  # shakes, nods
    angles += bursts @ (kinds * rng.uniform(0.4, 1.4, (number, 1)))
    limits = np.array([42, 25, 25])
    return limits * np.tanh(angles / limits)


def sample_scores(
    rng: np.random.Generator, seconds: Float[np.ndarray, "F"], fps: float, head: Float[np.ndarray, "F 3"]
) -> Float[np.ndarray, "F 52"]:
    """Blendshape scores of a clip whose head turns by `head` (yaw, pitch, roll in degrees)."""
    layers = [_background(rng, len(seconds), fps), _blinks(rng, seconds), _gaze(rng, seconds, head)]
    if rng.random() < 0.65:
        layers.append(_speech(rng, seconds))
    if rng.random() < 0.6:
        layers.append(_expressions(rng, seconds))
    return 1 - np.prod([1 - layer for layer in layers], axis=0)


def _background(rng: np.random.Generator, num_frames: int, fps: float) -> Float[np.ndarray, "F 52"]:
    """The pooled distribution of real clips, made calmer or wilder from clip to clip; no gaze."""
    normal = smooth_noise(rng, num_frames, fps, EXPRESSION["correlation_time"]) @ _CORRELATE
    drift = rng.standard_normal(len(BLENDSHAPES)) @ _CORRELATE
    share = rng.uniform(0.2, 0.8)  # of the variance that stays the same over the clip
    normal = np.sqrt(1 - share) * normal + np.sqrt(share) * drift
    normal = normal * rng.choice([0.3, 0.7, 1.0, 1.3])
    quantiles = EXPRESSION["quantiles"]
    position = np.clip((normal + 3) / 6, 0, 1 - 1e-9) * (len(quantiles) - 1)
    below = position.astype(int)
    columns = np.arange(len(BLENDSHAPES))
    low, high = quantiles[below, columns], quantiles[below + 1, columns]
    scores = low + (position - below) * (high - low)
    scores[:, _GAZE] = 0
    scores[:, _BLINK] *= 0.5  # the rest is in the blinks' own layer
    return scores


def _correlating_factor() -> Float[np.ndarray, "52 52"]:
    """The square root of the scores' correlation, which makes independent columns depend on each other."""
    values, vectors = np.linalg.eigh(EXPRESSION["correlation"].astype(np.float64))
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


_CORRELATE = _correlating_factor()


def _blinks(rng: np.random.Generator, seconds: Float[np.ndarray, "F"]) -> Float[np.ndarray, "F 52"]:
    """Both eyes shut for about 0.2 s every 2 to 5 s: closing is faster than opening."""
    number = int(seconds[-1] / 2) + 2
    starts = np.cumsum(rng.uniform(2, 5, number)) - rng.uniform(0.5, 5)
    since = seconds[:, None] - starts
    closed = smooth_step(since / 0.08) * smooth_step((0.26 - since) / 0.14)
    return np.minimum(closed.sum(axis=1), 1)[:, None] * _scores(eyeBlink=1.0)


def _gaze(
    rng: np.random.Generator, seconds: Float[np.ndarray, "F"], head: Float[np.ndarray, "F 3"]
) -> Float[np.ndarray, "F 52"]:
    """Saccades between points to look at, mostly near the camera, that the eyes keep to while the head turns."""

    def draw(number: int) -> Float[np.ndarray, "N 2"]:
        away = rng.random((number, 1)) < 0.4
        return np.where(away, rng.standard_normal((number, 2)) * (18, 9), rng.standard_normal((number, 2)) * 2)

    target = holds(rng, seconds, rng.uniform(0.5, 1.5), 0.05, draw)
    held = rng.uniform(0.3, 0.9)  # the part of the head's turn that the eyes undo
    yaw, pitch = ((target - held * head[:, :2]) / _FULL_GAZE).T
    scores = np.zeros((len(seconds), len(BLENDSHAPES)))
    for name, value in (
        ("eyeLookOutLeft", yaw),
        ("eyeLookInRight", yaw),
        ("eyeLookInLeft", -yaw),
        ("eyeLookOutRight", -yaw),
        ("eyeLookDownLeft", pitch),
        ("eyeLookDownRight", pitch),
        ("eyeLookUpLeft", -pitch),
        ("eyeLookUpRight", -pitch),
    ):
        scores[:, _INDEX[name]] = np.clip(value, 0, 1)
    return scores


def _speech(rng: np.random.Generator, seconds: Float[np.ndarray, "F"]) -> Float[np.ndarray, "F 52"]:
    """Three to six syllables a second, each a random mouth shape, in phrases with pauses between them."""
    rate = rng.uniform(3, 6)
    number = int(1.5 * rate * seconds[-1]) + 8
    gaps = rng.gamma(8, 1 / (8 * rate), number)
    pauses = rng.random(number) < 0.12
    centres = np.cumsum(gaps + pauses * rng.uniform(0.2, 1.0, number)) - rng.uniform(0, 1)
    width = 0.35 / rate
    syllables = np.exp(-(((seconds[:, None] - centres) / width) ** 2) / 2)
    stress = rng.uniform(0.4, 1.2, (number, 1)) * rng.uniform(0.6, 1.1)
    return np.clip(syllables @ (VISEMES[rng.integers(len(VISEMES), size=number)] * stress), 0, 1)


def _expressions(rng: np.random.Generator, seconds: Float[np.ndarray, "F"]) -> Float[np.ndarray, "F 52"]:
    """Expressions and mixtures of two, each held for one to three seconds, with neutral times between them."""
    rest = np.zeros_like(EXPRESSIONS[0])

    def draw(number: int) -> Float[np.ndarray, "N 52"]:
        first, second = EXPRESSIONS[rng.integers(len(EXPRESSIONS), size=(2, number))]
        mixed = first + (rng.random((number, 1)) < 0.3) * rng.random((number, 1)) * (second - first)
        return np.where(rng.random((number, 1)) < 0.3, rest, mixed * rng.uniform(0.4, 1.1, (number, 1)))

    return np.clip(holds(rng, seconds, rng.uniform(1, 3), 0.35, draw), 0, 1)
