"""Facial landmarks, expression scores and head pose, by MediaPipe's FaceLandmarker."""

import contextlib
import dataclasses
import functools
import hashlib
import logging
import operator
import os
import pathlib
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from scipy.spatial.transform import Rotation, Slerp

from adiff_jax.media.errors import MediaError, NoFaceError
from adiff_jax.media.video import Frame

MODEL_ADDRESS = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
)
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
MODEL_VARIABLE = "ADIFF_FACE_LANDMARKER"

# fmt: off
BLENDSHAPES = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)
# fmt: on

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class FaceLandmarks:
    """The track of one face over the `F` frames of a video; a picture is a track of one frame.

    Attributes:
        points: landmarks in pixels of the whole frame: x right, y down, z away from the camera on the same scale.
        blendshapes: expression scores in [0, 1], in the order of `BLENDSHAPES`.
        pose: maps the canonical face (centimetres) to camera space (x right, y up, z towards the viewer).
        found: where False the other arrays hold zeros, until `fill_missing` fills them.
        times: seconds since the start of the video.
    """

    points: Float32[np.ndarray, "F K 3"]
    blendshapes: Float32[np.ndarray, "F 52"]
    pose: Float32[np.ndarray, "F 4 4"]
    found: Bool[np.ndarray, "F"]
    times: Float[np.ndarray, "F"]

    def __len__(self) -> int:
        return len(self.found)


def landmark_model_path(option: str | os.PathLike | None = None) -> pathlib.Path:
    """Finds the FaceLandmarker model file, and downloads it if there is none.

    Order: `option`, the environment variable `ADIFF_FACE_LANDMARKER`, the user's cache, the official address. A file
    that the user names is taken as it is; the cache and the download must have the pinned SHA-256.

    Raises:
        MediaError: a named file does not exist, or there is none and the download failed.
    """
    for named, where in ((option, "the option"), (os.environ.get(MODEL_VARIABLE), MODEL_VARIABLE)):
        if named:
            path = pathlib.Path(named).expanduser()
            if not path.is_file():
                raise MediaError(f"{path}: no such face landmark model (named by {where})")
            return path
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    path = cache / "adiff_jax" / "face_landmarker.task"
    if not path.is_file() or _sha256(path.read_bytes()) != MODEL_SHA256:
        _download_model(path)
    return path


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _download_model(path: pathlib.Path) -> None:
    advice = f"download {MODEL_ADDRESS} by hand to {path}, or set {MODEL_VARIABLE} to where you have it"
    _log.info("downloading the face landmark model from %s", MODEL_ADDRESS)
    try:
        with urllib.request.urlopen(MODEL_ADDRESS, timeout=30) as response:
            data = response.read()
    except OSError as error:
        raise MediaError(f"no face landmark model, and the download failed ({error}): {advice}") from error
    if _sha256(data) != MODEL_SHA256:
        raise MediaError(f"the downloaded face landmark model has a wrong SHA-256: {advice}")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(data)
    aside.replace(path)


_PLACE, _SCORE = operator.attrgetter("x", "y", "z"), operator.attrgetter("score")  # of MediaPipe's objects


@dataclasses.dataclass(frozen=True)
class _Face:
    points: Float32[np.ndarray, "K 3"]
    blendshapes: Float32[np.ndarray, "52"]
    pose: Float32[np.ndarray, "4 4"]

    @functools.cached_property
    def centre(self) -> Float32[np.ndarray, "2"]:
        return self.points[:, :2].mean(axis=0)

    @functools.cached_property
    def size(self) -> float:
        """The longer side of the bounding box, in pixels."""
        return float(np.ptp(self.points[:, :2], axis=0).max())


class LandmarkDetector:
    """Finds the landmarks of one face in pictures and videos.

    Of several faces the largest is taken and the choice is logged; `face` chooses another, counted from 1 from left to
    right.

    Args:
        model_path: the FaceLandmarker model file; None looks it up by `landmark_model_path`.
        max_faces: how many faces are looked for.
        confidence: least confidence, in [0, 1], at which a face is one.

    Raises:
        MediaError: there is no model file, or MediaPipe cannot load it, or lacks a library of the system.
    """

    def __init__(self, model_path: str | os.PathLike | None = None, max_faces: int = 5, confidence: float = 0.5):
        self._model_path = landmark_model_path(model_path)
        self._max_faces = max_faces
        self._confidence = confidence

    def picture(self, image: UInt8[np.ndarray, "H W 3"], face: int | None = None) -> FaceLandmarks:
        """Landmarks of one RGB picture, as a track of one frame.

        Raises:
            NoFaceError: the picture shows no face, or fewer than `face`.
        """
        with self._open("IMAGE", self._max_faces) as landmarker:
            faces = _as_faces(landmarker.detect(_as_mediapipe(image)), image)
        if not faces:
            raise NoFaceError("no face found in the picture; use one that shows a face from the front, well lit")
        return _track([_choose(faces, face)], [0.0])

    def video(self, frames: Iterable[Frame], face: int | None = None) -> FaceLandmarks:
        """The track of one face over a video, which is read once and never held in memory.

        The first frame that shows a face decides which one; from then on the one nearest to its last place is taken, if
        it moved by less than its size a frame. Frames where it is not found are flagged in `FaceLandmarks.found`.

        Raises:
            NoFaceError: no frame shows a face, or the first with one shows fewer than `face`.
        """
        track: list[_Face | None] = []
        times: list[float] = []
        frames = iter(frames)
        faces: list[_Face] = []
        with self._open("IMAGE", self._max_faces) as landmarker:
            while not faces and (frame := next(frames, None)):
                faces = _as_faces(landmarker.detect(_as_mediapipe(frame.image)), frame.image)
                track.append(_choose(faces, face) if faces else None)
                times.append(frame.time)
        if not faces:
            raise NoFaceError(f"no face found in any of the {len(track)} frames of the video")
        track += self._follow(frames, track[-1], len(faces), times)
        return _track(track, times)

    @contextlib.contextmanager
    def scanner(self) -> Iterator[Callable[[UInt8[np.ndarray, "H W 3"]], Float32[np.ndarray, "N 4"]]]:
        """Gives a function that finds all faces of a picture, from left to right, as boxes (left, top, right, bottom).

        Boxes hold the landmarks and are in pixels; `video` counts the faces of a frame in the same order.
        """

        def scan(image: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "N 4"]:
            faces = sorted(_as_faces(landmarker.detect(_as_mediapipe(image)), image), key=lambda face: face.centre[0])
            points = [face.points[:, :2] for face in faces]
            return np.array([[*p.min(axis=0), *p.max(axis=0)] for p in points], np.float32).reshape(-1, 4)

        with self._open("IMAGE", self._max_faces) as landmarker:
            yield scan

    def _follow(self, frames: Iterator[Frame], last: _Face, num_faces: int, times: list[float]) -> list[_Face | None]:
        """Tracks `last` through the frames that remain, and appends their times to `times`."""
        track: list[_Face | None] = []
        milliseconds = missed = 0
        # MediaPipe smooths over time only if it looks for one face.
        with self._open("VIDEO", 1 if num_faces == 1 else self._max_faces) as landmarker:
            for frame in frames:
                times.append(frame.time)
                milliseconds = max(milliseconds + 1, round(1000 * frame.time))
                result = landmarker.detect_for_video(_as_mediapipe(frame.image), milliseconds)
                nearest = min(
                    _as_faces(result, frame.image),
                    key=lambda face: np.linalg.norm(face.centre - last.centre),
                    default=None,
                )
                missed += 1
                if nearest and np.linalg.norm(nearest.centre - last.centre) < missed * last.size:
                    last, missed = nearest, 0
                track.append(None if missed else last)
        return track

    def _open(self, mode: str, num_faces: int) -> Any:
        from mediapipe.tasks.python import BaseOptions, vision  # takes seconds, so not at the top

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(self._model_path)),
            running_mode=vision.RunningMode[mode],
            num_faces=num_faces,
            min_face_detection_confidence=self._confidence,
            min_face_presence_confidence=self._confidence,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        try:
            return vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise MediaError(f"{self._model_path}: not a FaceLandmarker model ({reason})") from error
        except OSError as error:
            advice = "on Debian or Ubuntu: apt-get install libegl1 libgles2"
            raise MediaError(f"MediaPipe's library cannot be loaded ({error}); {advice}") from error


def fill_missing(landmarks: FaceLandmarks, max_gap: float = 0.5) -> FaceLandmarks:
    """Fills the frames where the face was not found, from the nearest frames where it was.

    Points, scores and translation are interpolated linearly in time, rotation on the sphere; before the first and after
    the last found frame these are held. `found` is kept, so that a metric can leave the filled frames out.

    Args:
        landmarks: the track, as the detector gives it.
        max_gap: longest gap that is filled, in seconds from its first to its last frame.

    Raises:
        NoFaceError: a gap is longer than `max_gap`.
    """
    found, times = landmarks.found, landmarks.times
    if found.all():
        return landmarks
    known = np.flatnonzero(found)
    if not len(known):
        raise NoFaceError("no face found in any frame of the video")
    for start, stop in _gaps(found):
        length = times[stop - 1] - times[start]
        if length > max_gap:
            raise NoFaceError(
                f"no face found from {times[start]:.2f} s to {times[stop - 1]:.2f} s of the video; "
                f"only gaps up to {max_gap:g} s are filled: cut the video there"
            )
    _log.warning("no face found in %d of %d frames; filled from their neighbours", len(found) - len(known), len(found))
    inside = np.clip(times, times[known[0]], times[known[-1]])

    def interpolate(values: Float32[np.ndarray, "F ..."]) -> Float32[np.ndarray, "F ..."]:
        flat = values.reshape(len(values), -1)
        columns = [np.interp(inside, times[known], column[known]) for column in flat.T]
        return np.stack(columns, axis=-1).reshape(values.shape).astype(np.float32)

    pose = interpolate(landmarks.pose)
    if len(known) > 1:
        scale = np.cbrt(np.linalg.det(landmarks.pose[known, :3, :3]))
        rotations = Rotation.from_matrix(landmarks.pose[known, :3, :3] / scale[:, None, None])
        turned = Slerp(times[known], rotations)(inside).as_matrix()
        pose[:, :3, :3] = turned * np.interp(inside, times[known], scale)[:, None, None]
    return dataclasses.replace(
        landmarks, points=interpolate(landmarks.points), blendshapes=interpolate(landmarks.blendshapes), pose=pose
    )


def _gaps(found: Bool[np.ndarray, "F"]) -> list[tuple[int, int]]:
    """The runs [start, stop) of frames that are not found."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], found, [True]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _choose(faces: list[_Face], face: int | None) -> _Face:
    ordered = sorted(faces, key=lambda face: face.centre[0])
    if face is not None:
        if not 1 <= face <= len(ordered):
            raise NoFaceError(f"face {face} asked for, but {len(ordered)} found; they count from 1, left to right")
        return ordered[face - 1]
    largest = max(range(len(ordered)), key=lambda index: ordered[index].size)
    if len(ordered) > 1:
        _log.warning("%d faces found; taking the largest, number %d from the left", len(ordered), largest + 1)
    return ordered[largest]


def _track(faces: list[_Face | None], times: list[float]) -> FaceLandmarks:
    absent = _Face(np.zeros((478, 3), np.float32), np.zeros(52, np.float32), np.zeros((4, 4), np.float32))
    return FaceLandmarks(
        points=np.stack([(face or absent).points for face in faces]),
        blendshapes=np.stack([(face or absent).blendshapes for face in faces]),
        pose=np.stack([(face or absent).pose for face in faces]),
        found=np.array([face is not None for face in faces]),
        times=np.array(times),
    )


def _as_mediapipe(image: UInt8[np.ndarray, "H W 3"]) -> Any:
    import mediapipe

    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))


def _as_faces(result: Any, image: UInt8[np.ndarray, "H W 3"]) -> list[_Face]:
    height, width = image.shape[:2]
    scale = np.array([width, height, width], np.float32)  # z is in units of the width
    return [
        _Face(
            points=np.array(list(map(_PLACE, points)), np.float32) * scale,
            blendshapes=np.array(list(map(_SCORE, categories)), np.float32),
            pose=np.asarray(pose, np.float32),
        )
        for points, categories, pose in zip(
            result.face_landmarks, result.face_blendshapes, result.facial_transformation_matrixes, strict=True
        )
    ]
