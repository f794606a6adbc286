"""Fits the statistics of expression that the synthetic heads move by, and reads the canonical mesh.

    python -m adiff_jax.data.synthetic.fit CLIPS OUT [--model face_landmarker.task]

takes the landmarks of every `*.mp4` in the folder CLIPS and writes `canonical_mesh.safetensors` and
`expression.safetensors` into the folder OUT: what this package ships was made so from eight clips (90
seconds of talking and grimacing heads; about two minutes on 2 cores).

What is stored is pooled over all clips and their mirror images together, never one person's face:

    mean_face [478, 3]        mean neutral face, cm, its gaze that of the mean frame
    basis     [52, 478, 3]    offsets of the face at score 1 of each MediaPipe blendshape, cm
    modes     [24, 478, 3]    one standard deviation of each principal component of what the basis leaves over, cm
    quantiles [25, 52]        each blendshape's score where a standard normal variable is `QUANTILE_GRID`
    correlation [52, 52]      of the scores, each brought to a normal distribution
    correlation_time [52]     half the width of each score's autocorrelation, seconds
    mode_correlation_time [24]
"""

import argparse
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.numpy
from jaxtyping import Float
from scipy.stats import norm, rankdata

from adiff_jax.data.synthetic import mesh
from adiff_jax.media.landmarks import BLENDSHAPES, LandmarkDetector, landmark_model_path
from adiff_jax.media.motion import decompose
from adiff_jax.media.video import read_video

NUM_MODES = 24
RIDGE = 2.0
QUANTILE_GRID = np.linspace(-3, 3, 25)

MIRRORED_SCORES = [
    BLENDSHAPES.index(name.replace("Left", "*").replace("Right", "Left").replace("*", "Right")) for name in BLENDSHAPES
]
"""The blendshape seen in a mirror, for each: left and right change places."""

_MEETING = 0.1  # where closed lids meet: this part of the way up from the lower to the upper one


class Track(NamedTuple):
    """One clip: its faces in the canonical frame (cm), their blendshape scores, and frames a second."""

    faces: Float[np.ndarray, "F 478 3"]
    scores: Float[np.ndarray, "F 52"]
    fps: float

    def mirrored(self) -> "Track":
        """The same clip seen in a mirror."""
        return Track((self.faces * [-1, 1, 1])[:, mesh.MIRROR], self.scores[:, MIRRORED_SCORES], self.fps)


def make_track(points: Float[np.ndarray, "F 478 3"], scores: Float[np.ndarray, "F 52"], fps: float) -> Track:
    """Takes pose and scale out of landmarks in pixels: aligned first to the canonical face, then to the clip's mean."""
    mean = mesh.VERTICES + decompose(points, mesh.VERTICES).expression.mean(axis=0)
    return Track(mean + decompose(points, mean).expression, scores.astype(np.float64), fps)


def read_tracks(folder: Path, model: Path | None) -> Iterator[Track]:
    """The tracks of all clips in a folder; raises `ValueError` if there is none."""
    paths = sorted(folder.glob("*.mp4"))
    if not paths:
        raise ValueError(f"{folder}: no *.mp4 in this folder")
    detector = LandmarkDetector(model)
    for path in paths:
        with read_video(path) as video:
            landmarks = detector.video(video)
            fps = float(video.fps)
        found = landmarks.found
        yield make_track(landmarks.points[found], landmarks.blendshapes[found], fps)


def fit_basis(tracks: list[Track]) -> Float[np.ndarray, "52 478 3"]:
    """Ridge regression of the faces on the scores, within clips.

    An eye's lids and iris may depend on that eye's own scores alone: gaze and blinks of both eyes go together in real
    clips, and a free regression would trade one against the other.
    """
    scores = np.concatenate([track.scores - track.scores.mean(axis=0) for track in tracks])
    faces = np.concatenate([track.faces - track.faces.mean(axis=0) for track in tracks])
    basis = _ridge(scores, faces)
    for side, contour, iris in (
        ("Right", mesh.RIGHT_EYE, mesh.RIGHT_IRIS),
        ("Left", mesh.LEFT_EYE, mesh.LEFT_IRIS),
    ):
        points = [*contour, *iris]
        own = [i for i, name in enumerate(BLENDSHAPES) if name.startswith("eye") and name.endswith(side)]
        basis[:, points] = 0
        basis[np.ix_(own, points)] = _ridge(scores[:, own], faces[:, points])
        looks = [i for i in own if "Look" in BLENDSHAPES[i]]
        basis[:, iris] = 0
        basis[np.ix_(looks, iris)] = _ridge(scores[:, looks], faces[:, iris]).mean(axis=1, keepdims=True)
    return basis


def _ridge(scores: Float[np.ndarray, "N P"], faces: Float[np.ndarray, "N K 3"]) -> Float[np.ndarray, "P K 3"]:
    gram = scores.T @ scores + RIDGE * np.eye(scores.shape[1])
    return np.linalg.solve(gram, scores.T @ faces.reshape(len(faces), -1)).reshape(-1, *faces.shape[1:])


def close_eyes(basis: Float[np.ndarray, "52 478 3"], mean_face: Float[np.ndarray, "478 3"]) -> None:
    """Makes a blink of score 1 close the mean face's eyes: the skin around moves in proportion, the lids meet."""
    for (upper, lower), side in zip(mesh.LID_PAIRS, ("Right", "Left"), strict=True):
        blink = basis[BLENDSHAPES.index(f"eyeBlink{side}")]
        opening = (mean_face[list(lower)] - mean_face[list(upper)])[:, 1]
        closing = (blink[list(upper)] - blink[list(lower)])[:, 1]
        blink *= opening.sum() / closing.sum()
        for top, bottom in zip(upper, lower, strict=True):
            meeting = mean_face[bottom] + _MEETING * (mean_face[top] - mean_face[bottom])
            meeting[2] = min(mean_face[top][2], mean_face[bottom][2])
            blink[[top, bottom]] = meeting - mean_face[[top, bottom]]


def fit_expression(tracks: list[Track]) -> tuple[dict[str, np.ndarray], float]:
    """All that `expression.safetensors` holds, and the part of the faces' variance that the basis explains (R^2)."""
    tracks = [*tracks, *(track.mirrored() for track in tracks)]
    basis = fit_basis(tracks)
    neutrals = np.stack([(track.faces - np.tensordot(track.scores, basis, 1)).mean(axis=0) for track in tracks])
    mean_face = neutrals.mean(axis=0)
    irises = [*mesh.RIGHT_IRIS, *mesh.LEFT_IRIS]
    mean_face[irises] = np.mean([track.faces[:, irises].mean(axis=0) for track in tracks], axis=0)
    left_over = [
        track.faces - neutral - np.tensordot(track.scores, basis, 1)
        for track, neutral in zip(tracks, neutrals, strict=True)
    ]
    pooled = np.concatenate(left_over).reshape(-1, mesh.NUM_LANDMARKS * 3)
    variance = sum(((track.faces - track.faces.mean(axis=0)) ** 2).sum() for track in tracks)
    variances, directions = np.linalg.eigh(pooled.T @ pooled / len(pooled))
    variances, directions = variances[: -NUM_MODES - 1 : -1], directions.T[: -NUM_MODES - 1 : -1]
    modes = directions * np.sqrt(variances)[:, None]
    mode_scores = [rest.reshape(len(rest), -1) @ directions.T for rest in left_over]
    scores = np.concatenate([track.scores for track in tracks])
    normal = norm.ppf((rankdata(scores, axis=0) - 0.5) / len(scores))
    close_eyes(basis, mean_face)
    expression = {
        "mean_face": mean_face,
        "basis": basis,
        "modes": modes.reshape(NUM_MODES, mesh.NUM_LANDMARKS, 3),
        "quantiles": np.quantile(scores, norm.cdf(QUANTILE_GRID), axis=0),
        "correlation": np.nan_to_num(np.corrcoef(normal, rowvar=False)),
        "correlation_time": correlation_time([track.scores for track in tracks], [track.fps for track in tracks]),
        "mode_correlation_time": correlation_time(mode_scores, [track.fps for track in tracks]),
    }
    halves = ("basis", "modes")
    stored = {name: value.astype(np.float16 if name in halves else np.float32) for name, value in expression.items()}
    return stored, float(1 - (pooled**2).sum() / variance)


def correlation_time(series: list[Float[np.ndarray, "F P"]], fps: list[float]) -> Float[np.ndarray, "P"]:
    """Seconds after which the autocorrelation, pooled over clips, falls below one half; at least 0.04, at most 2."""
    lags = np.arange(0.04, 2.04, 0.04)
    products = np.zeros((len(lags), series[0].shape[1]))
    for values, rate in zip(series, fps, strict=True):
        values = values - values.mean(axis=0)
        for row, lag in enumerate(lags):
            steps = max(1, round(lag * rate))
            products[row] += (values[steps:] * values[:-steps]).sum(axis=0)
    power = sum(((values - values.mean(axis=0)) ** 2).sum(axis=0) for values in series)
    return lags[np.argmax(np.concatenate([products[:-1], products[-1:] * 0]) <= power / 2, axis=0)]


def read_canonical_mesh(model: Path) -> dict[str, np.ndarray]:
    """Vertices (in the frame of `mesh`), texture coordinates and triangles out of a FaceLandmarker model file.

    The model file is a zip in a zip; its geometry metadata is a protocol buffer: message 1 of it holds the vertex
    buffer (field 3: floats x y z u v) and the index buffer (field 4) of the mesh.
    """
    with zipfile.ZipFile(model) as archive:
        metadata = archive.read("geometry_pipeline_metadata_landmarks.binarypb")
    canonical = next(value for field, value in _fields(metadata) if field == 1)
    vertices = np.frombuffer(b"".join(value for field, value in _fields(canonical) if field == 3), "<f4").reshape(-1, 5)
    triangles = np.array([value for field, value in _fields(canonical) if field == 4], np.int16).reshape(-1, 3)
    return {
        "vertices": vertices[:, :3] * np.float32([1, -1, -1]),
        "uv": vertices[:, 3:].copy(),
        "triangles": triangles,
    }


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and raw values of a protocol buffer message (wire types 0, 2 and 5)."""
    stream = io.BytesIO(message)
    while stream.tell() < len(message):
        key = _varint(stream)
        if key & 7 == 0:
            yield key >> 3, _varint(stream)
        else:
            yield key >> 3, stream.read(4 if key & 7 == 5 else _varint(stream))


def _varint(stream: io.BytesIO) -> int:
    value, shift = 0, 0
    while True:
        byte = stream.read(1)[0]
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value


def _save(path: Path, tensors: dict[str, np.ndarray], **metadata: str) -> None:
    aside = path.with_name(f".{path.name}")
    aside.write_bytes(safetensors.numpy.save(tensors, metadata))
    aside.replace(path)


def main() -> None:
    """Runs the command of the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="folder of *.mp4, one face each")
    parser.add_argument("out", type=Path, help="folder for the two files")
    parser.add_argument("--model", type=Path, default=None, help="FaceLandmarker model file")
    args = parser.parse_args()
    model = landmark_model_path(args.model)
    tracks = list(read_tracks(args.clips, model))
    expression, explained = fit_expression(tracks)
    args.out.mkdir(parents=True, exist_ok=True)
    _save(
        args.out / "canonical_mesh.safetensors",
        read_canonical_mesh(model),
        title="MediaPipe's canonical face mesh",
        author="Google",
        licence="Apache-2.0",
        source="geometry_pipeline_metadata_landmarks.binarypb of the FaceLandmarker model, float16, version 1",
        frame="centimetres, x right, y down, z away from the camera",
    )
    _save(
        args.out / "expression.safetensors",
        expression,
        title="statistics of facial expression on MediaPipe's canonical mesh",
        licence="Apache-2.0",
        source=f"landmarks of {len(tracks)} clips and their mirror images, pooled",
        frame="centimetres, x right, y down, z away from the camera",
    )
    frames = sum(len(track.faces) for track in tracks)
    print(f"{len(tracks)} clips, {frames} frames; the blendshapes explain {explained:.1%} of the variance (R^2)")


if __name__ == "__main__":
    main()
