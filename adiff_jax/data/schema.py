"""The record: one clip of one face, as bytes.

A record is a safetensors buffer: arrays under their field names, and one metadata entry, `record`, with JSON of
`ClipInfo` and the schema version. Each frame is a JPEG of its own, so that S frames of a clip decode alone.
"""

import dataclasses
import json
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import safetensors.numpy
from jaxtyping import Float16, Float32, Float64, Int, Int64, UInt8

VERSION = 4  # 2 added: measures, face_embedding, labels; 3: hard_negatives; 4: clip_text
READABLE = (1, 2, 3, 4)
JPEG_QUALITY = 95


class RecordError(ValueError):
    """A record, shard or manifest that cannot be used; the message says which and why."""


@runtime_checkable
class Frames(Protocol):
    """Pictures that can be fetched alone: an array `[F, H, W, 3]`, `JpegFrames`, or a renderer."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n H W 3"]: ...


@dataclasses.dataclass(frozen=True)
class JpegFrames:
    """Frames as JPEG files laid end to end; frame i of F is `data[offsets[i]:offsets[i + 1]]`."""

    data: UInt8[np.ndarray, "bytes"]
    offsets: Int64[np.ndarray, "ends"]

    @classmethod
    def encode(cls, frames: UInt8[np.ndarray, "F H W 3"], quality: int = JPEG_QUALITY) -> "JpegFrames":
        """Compresses RGB frames, chroma at full resolution (4:4:4)."""
        options = [
            *(cv2.IMWRITE_JPEG_QUALITY, quality),
            *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        ]
        files = [cv2.imencode(".jpg", np.ascontiguousarray(frame[..., ::-1]), options)[1] for frame in frames]
        offsets = np.cumsum([0] + [file.size for file in files], dtype=np.int64)
        return cls(np.concatenate(files), offsets)

    def __len__(self) -> int:
        return self.offsets.size - 1

    def __getitem__(self, indices: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n H W 3"]:
        """Decodes the frames asked for, in that order.

        Raises:
            RecordError: if a frame is not a readable JPEG.
        """
        return np.stack([self._decode(index) for index in indices.tolist()])

    def _decode(self, index: int) -> UInt8[np.ndarray, "H W 3"]:
        frame = cv2.imdecode(self.data[self.offsets[index] : self.offsets[index + 1]], cv2.IMREAD_COLOR_RGB)
        if frame is None:
            raise RecordError(f"frame {index} of a record is not a readable JPEG: verify the folder it is in")
        return frame


@dataclasses.dataclass(frozen=True)
class LabelMaps:
    """Label maps, one byte a pixel, as PNG files laid end to end, like `JpegFrames`."""

    data: UInt8[np.ndarray, "bytes"]
    offsets: Int64[np.ndarray, "ends"]

    @classmethod
    def encode(cls, maps: UInt8[np.ndarray, "F H W"]) -> "LabelMaps":
        """Compresses without loss."""
        files = [cv2.imencode(".png", labels)[1] for labels in maps]
        return cls(np.concatenate(files), np.cumsum([0] + [file.size for file in files], dtype=np.int64))

    def __len__(self) -> int:
        return self.offsets.size - 1

    def __getitem__(self, indices: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n H W"]:
        """Decodes the maps asked for, in that order."""
        files = [self.data[self.offsets[index] : self.offsets[index + 1]] for index in indices.tolist()]
        return np.stack([cv2.imdecode(file, cv2.IMREAD_UNCHANGED) for file in files])


@dataclasses.dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip in words.

    Attributes:
        id: unique in its data set, and stable over re-runs.
        identity: who is seen; clips of one person share it. Empty when unknown.
        captions: English sentences, each of which describes the clip. Empty when unknown.
        hard_negatives: sentences like these, each of which is wrong in one thing alone. Empty when unknown.
        attributes: values by name, of JSON types.
        source: where the clip comes from (file name, or `synthetic:SEED`).
        licence: the terms the clip is under, as the source states them. Empty when unknown.
        consent: what the person agreed to, as the source states it. Empty when unknown.
        fps: frames a second.
        measures: what preparation measured and filtered by, see `prep.measures`; empty if it was not.
    """

    id: str
    identity: str = ""
    captions: tuple[str, ...] = ()
    hard_negatives: tuple[str, ...] = ()
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    source: str = ""
    licence: str = ""
    consent: str = ""
    fps: float = 25.0
    measures: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ClipRecord:
    """One clip of one face, cropped square.

    Attributes:
        info: what is known of the clip in words.
        frames: RGB pictures.
        times: seconds from the start of the clip's source.
        landmarks: MediaPipe's 478 points, normalised to the crop: x right and y down in [-1, 1] inside the picture,
            z in the same scale, smaller is nearer.
        blendshapes: MediaPipe's 52 expression scores in [0, 1], if measured.
        pose: head pose, MediaPipe's 4x4 matrix from canonical-face to camera space (cm), if measured.
        moments: mean and log variance of the autoencoder's posterior, if encoded.
        clip_image: CLIP image embedding of each frame, L2-normalised, if encoded.
        clip_text: CLIP embedding of each caption, moved to where those of pictures lie (`weights.modality`),
            L2-normalised, if encoded.
        face_embedding: identity embedding, mean over frames, L2-normalised, if encoded.
        labels: region of each pixel (`data.synthetic.render.LABELS`), of drawn heads.
    """

    info: ClipInfo
    frames: Frames
    times: Float64[np.ndarray, "F"]
    landmarks: Float32[np.ndarray, "F 478 3"]
    blendshapes: Float32[np.ndarray, "F 52"] | None = None
    pose: Float32[np.ndarray, "F 4 4"] | None = None
    moments: Float16[np.ndarray, "F h w M"] | None = None
    clip_image: Float16[np.ndarray, "F E"] | None = None
    clip_text: Float16[np.ndarray, "C E"] | None = None
    face_embedding: Float32[np.ndarray, "I"] | None = None
    labels: LabelMaps | None = None

    def __len__(self) -> int:
        """Number of frames F."""
        return len(self.times)

    def compressed(self) -> "ClipRecord":
        """The record with its frames as `JpegFrames`."""
        if isinstance(self.frames, JpegFrames):
            return self
        return dataclasses.replace(self, frames=JpegFrames.encode(self.frames[np.arange(len(self.frames))]))

    def to_bytes(self) -> bytes:
        """Serialises the record; frames that are not `JpegFrames` are compressed. Equal records give equal bytes.

        Raises:
            RecordError: if the fields disagree in the number of frames.
        """
        frames = self.compressed().frames
        tensors = {
            name: np.ascontiguousarray(value, dtype)
            for name, dtype in _ARRAYS.items()
            if (value := getattr(self, name)) is not None
        }
        for name, values in tensors.items():
            if name not in _PER_CLIP and len(values) != len(frames):
                raise RecordError(f"clip {self.info.id}: {name} has {len(values)} frames, the pictures {len(frames)}")
        tensors |= {"jpeg": frames.data, "offsets": frames.offsets}
        if self.labels:
            tensors |= {"labels": self.labels.data, "label_offsets": self.labels.offsets}
        text = json.dumps({"version": VERSION, **dataclasses.asdict(self.info)}, sort_keys=True)
        return safetensors.numpy.save(tensors, metadata={"record": text})

    @classmethod
    def from_bytes(cls, data: bytes) -> "ClipRecord":
        """Reads a record; pictures stay compressed until asked for. Arrays are read-only views of `data`.

        Raises:
            RecordError: if `data` is no record, or one of another schema version.
        """
        tensors, metadata = _read_safetensors(data)
        if "record" not in metadata:
            raise RecordError("not an adiff record: the safetensors metadata lacks the entry `record`")
        info = json.loads(metadata["record"])
        check_version("record", info.pop("version", None))
        frames = JpegFrames(tensors.pop("jpeg"), tensors.pop("offsets"))
        if "labels" in tensors:
            tensors["labels"] = LabelMaps(tensors["labels"], tensors.pop("label_offsets"))
        texts = {name: tuple(info.get(name, ())) for name in ("captions", "hard_negatives")}
        info = ClipInfo(**info | texts)
        return cls(info=info, frames=frames, **tensors)


_ARRAYS = {
    "times": np.float64,
    "landmarks": np.float32,
    "blendshapes": np.float32,
    "pose": np.float32,
    "moments": np.float16,
    "clip_image": np.float16,
    "clip_text": np.float16,
    "face_embedding": np.float32,
}
_PER_CLIP = {"clip_text", "face_embedding"}
_DTYPES = {"U8": np.uint8, "I64": np.int64, "F16": np.float16, "F32": np.float32, "F64": np.float64}


def check_version(what: str, version: object) -> None:
    """Raises `RecordError` if this program does not read that schema version."""
    if version not in READABLE:
        readable = f"{READABLE[0]} to {READABLE[-1]}"
        raise RecordError(f"{what} has schema version {version}, this program reads {readable}: prepare the data again")


def _read_safetensors(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors, without copying, and metadata (which `safetensors.numpy.load` does not give)."""
    try:
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start])
        metadata = header.pop("__metadata__", {})
        tensors = {}
        for name, entry in header.items():
            begin, end = (start + offset for offset in entry["data_offsets"])
            flat = np.frombuffer(memoryview(data)[begin:end], _DTYPES[entry["dtype"]])
            tensors[name] = flat.reshape(entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError("not an adiff record: the bytes are not a safetensors buffer") from error
    return tensors, metadata
