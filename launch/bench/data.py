"""Preparation and loading: whose the time is, and how fast samples come in beside how fast training takes them.

Preparation is measured in one process. The loader is measured alone, as training runs it. Beside it stands what
training takes: the shipped config on this machine, in the same run, and the largest model on a pod, by the
floating-point operations of its step.
"""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from tqdm import tqdm

from adiff_jax.app.encoders import load_encoders
from adiff_jax.data.loader import make_loader
from adiff_jax.data.source import ClipSource, ShardSource
from adiff_jax.data.synthetic import render_clip
from adiff_jax.evals.report import Metric, Report
from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.media.video import VideoWriter, read_video
from adiff_jax.models.cost import count_flops
from adiff_jax.models.sdit import SDiT, SDiTConfig
from adiff_jax.prep.engine import prepare
from adiff_jax.prep.items import VIDEO_SUFFIXES
from adiff_jax.prep.options import PrepareOptions
from adiff_jax.prep.stages import Encoders
from adiff_jax.runtime.sharding import make_mesh, on_mesh, pick_mesh, replicate, shard_batch
from adiff_jax.train.loop import load_batches
from adiff_jax.train.state import boxed_state, create_state, make_optimizer
from adiff_jax.train.step import make_step
from adiff_jax.train.task import Task
from adiff_jax.train.tasks import make_task
from adiff_jax.types import NUM_LANDMARKS, Conditioning
from adiff_jax.weights.bundle import abstract_params, find_bundle
from configs.sdit import get_config
from launch.aot.topologies import CHIPS
from launch.bench.timing import seconds

CHIP, NUM_CHIPS, CHIPS_A_HOST, UTILISATION = "v5e", 256, 4, 0.5
BACKWARD = 2  # products in the backward pass for each of the forward pass
CLIPS = 8  # drawn for the loader, which goes through them again and again
STEPS = 7  # of training
SHARES = (
    Metric("seconds", "wall time, in one process", ".1f"),
    Metric("share", "of the wall time of preparation", ".0%"),
)
SPEEDS = (
    Metric("loader", "samples a second of the loader alone, on this machine", ",.0f", "higher"),
    Metric("a core", "samples of the loader in a second of processor time", ",.0f", "higher"),
    Metric("training", "samples a second that training takes", ",.0f", "higher"),
    Metric("over training", "how many times as many samples the loader gives", ",.1f", "higher"),
    Metric("cores", "processor cores, on all hosts together, that loading for this training takes", ",.2f"),
    Metric("read", "megabytes a second that it reads of the shards, on all hosts together", ",.0f"),
)


class Clock:
    """Adds up the time spent in calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


class ClockedDetector(LandmarkDetector):
    """A detector whose time inside MediaPipe is counted, without that of the frames it waits for."""

    def __init__(self, clock: Clock):
        super().__init__()
        self._clock = clock

    @contextlib.contextmanager
    def _open(self, mode: str, num_faces: int) -> Iterator[Any]:
        with self._clock.around(super()._open)(mode, num_faces) as landmarker:
            yield _ClockedLandmarker(landmarker, self._clock)


class _ClockedLandmarker:
    def __init__(self, landmarker: Any, clock: Clock):
        self.detect = clock.around(landmarker.detect)
        self.detect_for_video = clock.around(landmarker.detect_for_video)


def draw_videos(folder: Path, count: int, frames: int, size: int) -> Path:
    """Writes videos of drawn people."""
    folder.mkdir()
    for index in tqdm(range(count), unit=" videos"):
        with VideoWriter(folder / f"{index}.mp4", 25, (size, size)) as video:
            for picture in render_clip(index, num_frames=frames, size=size).frames:
                video.write(picture)
    return folder


def preparation(videos: Path, out: Path, bundle: str) -> Report:
    """Prepares videos with the encoders of a bundle; whose the time was."""
    folder, options = find_bundle(bundle), PrepareOptions()
    loaded = load_encoders(folder / "autoencoder", folder / "clip")
    paths = sorted(path for path in videos.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    mediapipe, encoding, reading = Clock(), Clock(), Clock()
    encoders = Encoders(loaded.name, encoding.around(loaded.moments), encoding.around(loaded.clip_image))
    # What is imported and compiled once does not count.
    black = np.zeros((1, options.size, options.size, 3), np.uint8)
    loaded.moments(black), loaded.clip_image(black)
    with LandmarkDetector().scanner() as scan:
        scan(black[0])

    detector = ClockedDetector(mediapipe)
    with tqdm(total=len(paths), unit=" videos") as bar:
        progress = lambda done, total: bar.update(done - bar.n)  # noqa: E731
        start = time.perf_counter()
        report = prepare(videos, out, options, encoders=encoders, detector=detector, progress=progress)
        total = time.perf_counter() - start
    frames = 0
    for path in paths:
        with contextlib.suppress(ValueError), read_video(path) as video:
            frames += reading.around(lambda video=video: sum(1 for _ in video))()

    parts = {"MediaPipe": mediapipe.seconds, "encoders": encoding.seconds}
    parts["the rest"] = total - sum(parts.values())
    parts["FFmpeg, twice, in a thread beside all this"] = 2 * reading.seconds
    rows = {name: {"seconds": value, "share": value / total} for name, value in parts.items()}
    setting = {
        "videos": f"{len(paths)}, {frames} frames, the last {video.width} x {video.height}",
        "kept": f"{report.clips} clips, {sum(outcome.frames for outcome in report.outcomes)} frames",
        "speed": f"{frames / total:.1f} frames a second",
        "encoders": f"of {bundle}, on {_device()}",
        "FFmpeg": "measured afterwards, alone",
    }
    return Report("Whose the time of preparation is", setting, SHARES, rows)


def loading(folder: Path, bundle: str, duration: float) -> Report:
    """The loader beside training: the shipped config here, the largest model on a pod.

    Args:
        folder: for records, which are drawn clips with latents and embeddings of noise.
        bundle: whose autoencoder the shipped config trains with.
        duration: seconds that each loader is measured.
    """
    small, large = get_config("small128"), get_config("xl")
    small.autoencoder = str(find_bundle(bundle) / "autoencoder")
    rows = {}
    for name, config in {"small": small, "large": large}.items():
        config.data.encoded = True
        config.data.source = str(folder / name)
        write_records(folder / name, config)
    source = ShardSource(small.data.source)
    task = make_task(small, source, folder)
    speed = loader_speed(task, source, small, range(small.batch_size), duration)
    model = f"sDiT of {small.model.depth} blocks, {small.model.width} wide (small128), on this machine"
    rows[model] = compare(speed, training_speed(task, source, small), megabytes(source))

    flops = (1 + BACKWARD) * forward_flops(SDiTConfig(**large.model))
    pod = NUM_CHIPS * CHIPS[CHIP].flops * UTILISATION / flops
    source = ShardSource(large.data.source)
    task = type(task).of_models(large, task.autoencoder.config, None)  # for its transforms alone
    rows_of_a_host = range(large.batch_size * CHIPS_A_HOST // NUM_CHIPS)
    row = compare(loader_speed(task, source, large, rows_of_a_host, duration), pod, megabytes(source))
    del row["over training"]  # of a pod's hosts, not of this one
    rows[f"sDiT-XL/2 on {NUM_CHIPS} chips of {CHIP}"] = row
    setting = {
        "sample": f"{small.model.num_frames} frames of a clip of {small.data.clip_frames}",
        "loader": "as in training, threads of one process; shards in the page cache",
        "training here": f"median of {STEPS - 1} steps of {small.batch_size} samples, on {_device()}",
        "training on the pod": f"{flops / 1e12:.2f} TFLOP a sample, at {UTILISATION:.0%} of the chips' peak rate",
    }
    return Report("The loader beside training", setting, SPEEDS, rows)


def write_records(folder: Path, config: ml_collections.ConfigDict) -> None:
    """Drawn clips with what a training reads: latents and embeddings of the config's shapes, of noise."""
    side, channels = config.model.input_size, 2 * config.model.in_channels
    rng = np.random.default_rng(0)
    noise = Encoders(
        "noise",
        moments=lambda frames: rng.normal(size=(len(frames), side, side, channels)),
        clip_image=lambda frames: rng.normal(size=(len(frames), config.model.clip_dim)),
    )
    options = PrepareOptions(size=config.data.size, longest=config.data.clip_frames, synthetic_labels=False)
    prepare(f"synthetic:{CLIPS}", folder, options, encoders=noise)


def loader_speed(
    task: Task, source: ClipSource, config: ml_collections.ConfigDict, rows: Sequence[int], duration: float
) -> tuple[float, float]:
    """Samples of these rows of the batches, in a second, and in a second of processor time."""
    with contextlib.closing(load_batches(task, source, config, rows)) as batches:
        next(batches)
        taken, clocks = 0, np.array([time.perf_counter(), time.process_time()])
        while time.perf_counter() - clocks[0] < duration:
            next(batches)
            taken += len(rows)
        wall, processor = taken / (np.array([time.perf_counter(), time.process_time()]) - clocks)
    return float(wall), float(processor)


def training_speed(task: Task, source: ClipSource, config: ml_collections.ConfigDict) -> float:
    """Samples a second of the training step, on all devices of this machine; its input is there already."""
    loader = make_loader(source, task.transforms(), batch_size=config.batch_size, seed=0, num_threads=1)
    with contextlib.closing(loader):
        batch = next(loader)
    optimizer = make_optimizer(config.optimizer, config.steps)
    begin = (task, optimizer, config.seed, jax.eval_shape(lambda: batch))
    sizes = pick_mesh(
        jax.device_count(), batch_size=config.batch_size, state=boxed_state(*begin), memory=None, sizes=config.mesh
    )
    mesh = make_mesh(sizes)
    with on_mesh(mesh):
        state = create_state(*begin, mesh)
        task, batch = replicate(mesh, task), shard_batch(mesh, batch)
        step = jax.jit(make_step(optimizer, config.ema_decay), donate_argnums=1)

        def run() -> None:
            nonlocal state
            state, _ = jax.block_until_ready(step(task, state, batch))

        times = [seconds(run) for _ in tqdm(range(STEPS), unit=" steps")]
    return config.batch_size / statistics.median(times[1:])


def compare(loader: tuple[float, float], training: float, megabytes: float) -> dict[str, float]:
    """A row of the table.

    Args:
        loader: samples a second, and a second of processor time.
        training: samples a second.
        megabytes: read for a sample.
    """
    speed, core = loader
    return {
        "loader": speed,
        "a core": core,
        "training": training,
        "over training": speed / training,
        "cores": training / core,
        "read": training * megabytes,
    }


def megabytes(source: ShardSource) -> float:
    """Mean size of a record, all of which is read for a sample."""
    return sum(source.folder.size(shard.file) for shard in source.manifest.shards) / len(source) / 1e6


def forward_flops(config: SDiTConfig) -> int:
    """Floating-point operations of the denoiser, for one sample."""
    frames, side = config.num_frames, config.input_size
    z_t = jax.ShapeDtypeStruct((1, frames, side, side, config.in_channels), jnp.float32)
    landmarks = jnp.zeros((1, frames, NUM_LANDMARKS, 2))
    cond = jax.eval_shape(lambda: Conditioning.create(jnp.zeros((1, config.clip_dim)), landmarks))
    denoise = lambda params, *args: SDiT(config).apply({"params": params}, *args)  # noqa: E731
    return count_flops(denoise, abstract_params(config), z_t, jax.ShapeDtypeStruct((1,), jnp.float32), cond)


def _device() -> str:
    device = jax.devices()[0]
    return f"{device.device_kind} ({device.platform})"


def measure(videos: Path | None, drawn: tuple[int, int, int], bundle: str, duration: float) -> dict[str, Report]:
    """Both tables, by the names of their files.

    Args:
        videos: folder of videos to prepare; None draws some.
        drawn: how many, of how many frames, of how many pixels a side.
        bundle: whose encoders are used.
        duration: seconds that each loader is measured.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = videos or draw_videos(folder / "videos", *drawn)
        prepared = preparation(videos, folder / "records", bundle)
        return {"data_preparation": prepared, "data_loading": loading(folder, bundle, duration)}
