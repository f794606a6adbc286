"""Videos of drawn people, with planted faults, and under which reason each must land."""

import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from adiff_jax.data.synthetic import render_clip
from adiff_jax.media.video import VideoWriter

FRAMES, FPS = 20, 25
WIDTH, HEIGHT, SIDE = 256, 224, 192

Frames = Sequence[np.ndarray]


def people(seed: int, frames: int = FRAMES, fps: float = FPS) -> list[np.ndarray]:
    """A drawn person in a wider picture."""
    return [_placed(frame) for frame in render_clip(seed, num_frames=frames, size=SIDE, fps=fps).frames]


def _placed(picture: np.ndarray, left: int = 32) -> np.ndarray:
    canvas = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    side = picture.shape[0]
    top = (HEIGHT - side) // 2
    canvas[top : top + side, left : left + side] = picture
    return canvas


def write(path: Path, frames: Frames, fps: float = FPS, sound: bool = False) -> Path:
    height, width = frames[0].shape[:2]
    silent = path.with_name(f"silent-{path.name}") if sound else path
    with VideoWriter(silent, fps, (width, height), crf=18) as video:
        for frame in frames:
            video.write(frame)
    if sound:
        _add_sound(silent, path)
        silent.unlink()
    return path


def _add_sound(source: Path, path: Path) -> None:
    """The same video with a tone."""
    with av.open(str(source)) as silent, av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream_from_template(silent.streams.video[0])
        audio = container.add_stream("aac", rate=16000)
        audio.layout = "mono"
        seconds = float(silent.duration / av.time_base)
        tone = (0.1 * np.sin(np.arange(int(16000 * seconds)) * 0.2)).astype(np.float32)
        for packet in silent.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                container.mux(packet)
        for start in range(0, len(tone) - 1024, 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))


def sound_clip(folder: Path, name: str, seed: int) -> None:
    write(folder / f"{name}.mp4", people(seed), sound=True)


def cut(folder: Path, name: str, seed: int) -> None:
    write(folder / f"{name}.mp4", [*people(seed), *people(seed + 500)])


def two_faces(folder: Path, name: str, seed: int) -> None:
    pair = zip(people(seed), people(seed + 500), strict=True)
    write(folder / f"{name}.mp4", [np.concatenate(both, axis=1) for both in pair])


def no_face(folder: Path, name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = cv2.resize(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    write(folder / f"{name}.mp4", [np.roll(scene, 2 * step, axis=1) for step in range(FRAMES)])


def blur(folder: Path, name: str, seed: int) -> None:
    write(folder / f"{name}.mp4", [cv2.GaussianBlur(frame, (0, 0), 5) for frame in people(seed)])


def tiny_face(folder: Path, name: str, seed: int) -> None:
    small = [cv2.resize(frame, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA) for frame in people(seed)]
    frames = []
    for frame in small:
        canvas = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        canvas[60 : 60 + frame.shape[0], 80 : 80 + frame.shape[1]] = frame
        frames.append(canvas)
    write(folder / f"{name}.mp4", frames)


def truncated(folder: Path, name: str, seed: int) -> None:
    path = write(folder / f"{name}.mp4", people(seed, 2 * FRAMES))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])


def zero_bytes(folder: Path, name: str, seed: int) -> None:
    (folder / f"{name}.mp4").write_bytes(b"")


def wrong_extension(folder: Path, name: str, seed: int) -> None:
    if seed % 2:  # a video that is named as something else
        write(folder / f"{name}.mp4", people(seed)).rename(folder / f"{name}.txt")
    else:  # something else that is named as a video
        cv2.imwrite(str(folder / f"{name}.jpg"), people(seed, 1)[0])
        (folder / f"{name}.jpg").rename(folder / f"{name}.mp4")


def half_a_second(folder: Path, name: str, seed: int) -> None:
    write(folder / f"{name}.mp4", people(seed, FPS // 2))


def fast(folder: Path, name: str, seed: int) -> None:
    write(folder / f"{name}.mp4", people(seed, 4 * FRAMES, 120.0), fps=120)


def rotated(folder: Path, name: str, seed: int) -> None:
    """Stored lying on its side, with the note that turns it upright."""
    upright = folder / f"{name}.upright.mp4"
    write(upright, [np.ascontiguousarray(np.rot90(frame, -1)) for frame in people(seed)])
    with av.open(str(upright)) as source, av.open(str(folder / f"{name}.mp4"), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    upright.unlink()
    _turn(folder / f"{name}.mp4")


def _turn(path: Path) -> None:
    """Writes a quarter turn into the track header's matrix."""
    data = bytearray(path.read_bytes())
    start = data.find(b"tkhd") + 4
    matrix = start + 40  # version 0: flags, times, id, duration, layer and volume come before
    one = 0x10000
    values = [0, -one, 0, one, 0, 0, 0, 0, 0x40000000]  # a quarter turn back
    data[matrix : matrix + 36] = b"".join(int(value).to_bytes(4, "big", signed=True) for value in values)
    path.write_bytes(bytes(data))


def duplicate(folder: Path, name: str, seed: int) -> None:
    """The original, encoded anew and a little shorter."""
    original = people(ORIGINAL)
    write(folder / f"{name}.mp4", [frame for frame in original[2:]])


def copied(folder: Path, name: str, seed: int) -> None:
    shutil.copy(folder / "original.mp4", folder / f"{name}.mp4")


ORIGINAL = 40

# Fault -> how it is planted, and the reason under which it must land; empty for what is to be kept.
FAULTS: dict[str, tuple[Callable[[Path, str, int], None], str]] = {
    "cut": (cut, ""),
    "two faces": (two_faces, "several faces"),
    "no face": (no_face, "no face"),
    "blur": (blur, "blurred"),
    "tiny face": (tiny_face, "small face"),
    "truncated": (truncated, "truncated"),
    "zero bytes": (zero_bytes, "unreadable"),
    "wrong extension": (wrong_extension, "wrong extension"),
    "half a second": (half_a_second, "too short"),
    "120 fps": (fast, ""),
    "rotated": (rotated, ""),
    "ünï çødé 名前": (sound_clip, ""),
    "no sound": (lambda folder, name, seed: write(folder / f"{name}.mp4", people(seed)), ""),
    "re-encoded": (duplicate, "duplicate"),
    "second copy": (copied, "duplicate"),
}


def plant(folder: Path, clips: int, faulty: int = 1) -> dict[str, str]:
    """Writes `clips` videos, among them each fault `faulty` times; returns their names and the expected reasons."""
    folder.mkdir(parents=True, exist_ok=True)
    sound_clip(folder, "original", ORIGINAL)
    expected = {"original.mp4": ""}
    seed = ORIGINAL + 1
    for turn in range(faulty):
        for fault, (make, reason) in FAULTS.items():
            name = f"{fault} {turn}"
            make(folder, name, seed)
            (path,) = (path for path in folder.iterdir() if path.stem == name)
            expected[path.name] = reason
            seed += 1
    while len(expected) < clips:
        sound_clip(folder, f"sound {seed}", seed)
        expected[f"sound {seed}.mp4"] = ""
        seed += 1
    return expected
