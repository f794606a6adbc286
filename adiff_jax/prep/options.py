"""Every option of preparation: one group a stage, all with a default, all that the records depend on."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class ShotOptions:
    """Where a video is cut into shots.

    Attributes:
        cut_change: least mean difference of two frames, in 0-255 of their small Lab pictures, that may be a cut.
        cut_ratio: how many times any of the differences around it the difference must be; 0 for no cutting.
    """

    cut_change: float = 9.0
    cut_ratio: float = 2.0


@dataclasses.dataclass(frozen=True)
class FaceOptions:
    """Which face is followed.

    Attributes:
        look_every: seconds between the frames that are searched for other faces.
        rival_size: another face counts if its side is at least this share of the followed one's; 0 counts none.
        rival_share: share of the searched frames of a clip that may show another face.
    """

    look_every: float = 0.4
    rival_size: float = 0.4
    rival_share: float = 0.1


@dataclasses.dataclass(frozen=True)
class FilterOptions:
    """Which clips are kept. See `prep.measures` for what is measured.

    Attributes:
        min_face: side of the face in the source video, in pixels.
        min_sharpness: of the face; 1 is sharp, 0.3 blurred.
        min_brightness: mean of the face, 0 to 255.
        max_brightness: the same.
        max_yaw: turn of the head to either side, in degrees.
        max_pitch: up and down, in degrees.
        max_roll: tilt to either shoulder, in degrees.
        max_outside: share of the landmarks outside of the video's picture.
        max_covered: share of the face hidden by something that comes and goes.
        min_motion: distances between the eyes a second.
        max_jump: way of the face between two frames, in sides of the face.
    """

    min_face: float = 64.0
    min_sharpness: float = 0.45
    min_brightness: float = 30.0
    max_brightness: float = 235.0
    max_yaw: float = 60.0
    max_pitch: float = 45.0
    max_roll: float = 45.0
    max_outside: float = 0.05
    max_covered: float = 0.3
    min_motion: float = 0.02
    max_jump: float = 0.5

    @classmethod
    def none(cls) -> "FilterOptions":
        """Keeps everything."""
        least = {field.name: 0.0 for field in dataclasses.fields(cls) if field.name.startswith("min")}
        most = {field.name: float("inf") for field in dataclasses.fields(cls) if field.name.startswith("max")}
        return cls(**least, **most)


@dataclasses.dataclass(frozen=True)
class DuplicateOptions:
    """Which clips show the same recording.

    Attributes:
        duplicate_bits: most bits, of 64, in which the perceptual hashes of their middle frames differ; -1 keeps all.
        duplicate_motion: most difference of their motions, root mean square, in distances between the eyes.
    """

    duplicate_bits: int = 12
    duplicate_motion: float = 0.04


@dataclasses.dataclass(frozen=True)
class IdentityOptions:
    """Which clips show the same person, by their identity embeddings, if there is an encoder of these.

    Attributes:
        person_similarity: cosine from which two clips are of one person, which depends on the encoder; above 1 groups
            none.
    """

    person_similarity: float = 0.9


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    """What a prepared data set depends on, beside its source and its encoders.

    Attributes:
        size: height and width of the pictures, in pixels.
        longest: most frames of a clip; longer ones are cut.
        shortest: fewest frames of a clip; what is shorter is left out.
        max_fps: faster videos lose frames, every second or third alike.
        inputs_per_shard: videos, manifest entries or synthetic clips that make one shard.
        synthetic_fps: frames a second of synthetic clips.
        synthetic_labels: synthetic clips have label maps; --no-synthetic-labels leaves them out.
    """

    size: int = 128
    longest: int = 64
    shortest: int = 16
    max_fps: float = 30.0
    inputs_per_shard: int = 16
    synthetic_fps: float = 25.0
    synthetic_labels: bool = True
    shots: ShotOptions = ShotOptions()
    faces: FaceOptions = FaceOptions()
    filters: FilterOptions = FilterOptions()
    duplicates: DuplicateOptions = DuplicateOptions()
    identities: IdentityOptions = IdentityOptions()


@dataclasses.dataclass(frozen=True)
class RayOptions:
    """The Ray cluster, on which nothing in the records depends.

    Attributes:
        address: of the cluster; empty starts one on this machine, "auto" finds the one this machine belongs to.
        actors: most actors that make clips; 0 for as many as there are CPUs.
        encoder_actors: actors that encode.
        encoder_device: what each of these takes for itself.
    """

    address: str = ""
    actors: int = 0
    encoder_actors: int = 1
    encoder_device: Literal["CPU", "GPU", "TPU"] = "CPU"


Engine = Literal["local", "ray"]
