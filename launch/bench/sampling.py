"""What long videos cost: anchored sampling beside MultiDiffusion and plain groups, chunk sizes, memory against length.

Latents only, with the denoiser of a bundle, random landmarks and no guidance: decoding costs all methods the same.
"""

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from adiff_jax.app.options import SamplingOptions
from adiff_jax.app.pipeline.latents import Commission, Latents
from adiff_jax.evals.report import Metric, Report
from adiff_jax.types import NUM_LANDMARKS
from adiff_jax.weights.bundle import Bundle
from launch.bench.timing import seconds

COST_METRICS = (
    Metric("a frame", "median time of a frame of the video, in milliseconds", ".1f"),
    Metric("over independent", "median over turns of that time over that of independent groups", ".2f"),
    Metric(
        "in theory", "frames that go through the denoiser for one of the video, over that of independent groups", ".2f"
    ),
)
CHUNK_METRICS = (
    Metric("a frame", "median time of a frame of the video, in milliseconds", ".1f"),
    Metric("over the largest", "median over turns of that time over that of the largest chunk", ".2f"),
)
MEMORY_METRICS = (
    Metric("peak", "largest resident memory of a process that makes the video's latents, in MB", ".0f"),
    Metric("over the shortest", "that memory over that of the shortest video", ".2f"),
)
NO_GUIDANCE = {"guidance_clip": 1.0, "guidance_landmarks": 1.0}


def make_latents(bundle: Bundle, num_frames: int, **options: Any) -> None:
    """Samples the latents of a video and drops them."""
    sdit = bundle.sdit
    rng = np.random.default_rng(0)
    embedding = jnp.asarray(rng.normal(size=sdit.clip_dim), jnp.float32)
    landmarks = rng.uniform(-1, 1, (num_frames, NUM_LANDMARKS, 2)).astype(np.float32)
    commission = Commission(SamplingOptions(**NO_GUIDANCE | options), embedding, landmarks)
    count = sum(len(part) for part in Latents(bundle, commission))
    assert count == num_frames


def costs(bundle: Bundle, num_frames: int, steps: int, turns: int) -> Report:
    """Time of a frame by each method, in turns; of S groups at most at once, so that all have full batches."""
    size = bundle.sdit.num_frames
    num_frames = num_frames // size * size
    stride = {1: size - 1, size // 2: size - size // 2}
    cases: dict[str, tuple[int, dict[str, Any], float]] = {
        "independent groups": (num_frames, {"method": "independent"}, 1.0),
        "anchored, contiguous": (num_frames + 1, {"plan": "contiguous"}, size / (size - 1)),
        "anchored, shifted": (num_frames + 1, {"plan": "shifted"}, size / (size - 1)),
        "autoregressive, overlap 1": (num_frames, {"method": "autoregressive"}, size / (size - 1)),
    }
    for overlap in sorted(stride):
        options = {"method": "multidiffusion", "overlap": overlap}
        cases[f"MultiDiffusion, overlap {overlap}"] = (num_frames, options, size / stride[overlap])

    def run(frames: int, options: Mapping[str, Any]) -> float:
        return seconds(lambda: make_latents(bundle, frames, num_inference_steps=steps, **options)) / frames

    times = _in_turns({name: (lambda case=case: run(*case[:2])) for name, case in cases.items()}, turns)
    rows = {
        name: {
            "a frame": 1e3 * statistics.median(times[name]),
            "over independent": _ratio(times[name], times["independent groups"]),
            "in theory": case[2],
        }
        for name, case in cases.items()
    }
    setting = _setting(bundle, steps) | {"video": f"{num_frames} frames (anchored: and the anchor)", "turns": turns}
    return Report("Cost of long videos", setting, COST_METRICS, rows)


def chunks(bundle: Bundle, num_frames: int, steps: int, turns: int) -> Report:
    """Time of a frame of anchored sampling by the number of groups at once."""
    sizes = [1, 2, 4, 8, 16, 32]

    def run(batch: int) -> float:
        options = {"num_inference_steps": steps, "plan": "contiguous", "group_batch": batch}
        return seconds(lambda: make_latents(bundle, num_frames, **options)) / num_frames

    times = _in_turns({str(size): (lambda size=size: run(size)) for size in sizes}, turns)
    rows = {
        f"{size} groups": {
            "a frame": 1e3 * statistics.median(times[str(size)]),
            "over the largest": _ratio(times[str(size)], times[str(sizes[-1])]),
        }
        for size in sizes
    }
    setting = _setting(bundle, steps) | {"video": f"{num_frames} frames, anchored, contiguous", "turns": turns}
    return Report("Groups at once", setting, CHUNK_METRICS, rows)


def memory(bundle: Bundle, bundle_path: str, lengths: list[int], steps: int, group_batch: int) -> Report:
    """Peak resident memory by the length of the video, each in a process of its own."""
    peaks = {}
    for length in tqdm(lengths, unit=" processes"):
        arguments = json.dumps({"path": bundle_path, "frames": length, "steps": steps, "batch": group_batch})
        command = [sys.executable, "-m", "launch.bench.sampling", arguments]
        peaks[length] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    rows = {
        f"{length} frames": {"peak": peak, "over the shortest": peak / peaks[lengths[0]]}
        for length, peak in peaks.items()
    }
    setting = _setting(bundle, steps) | {"sampling": f"anchored, shifted, {group_batch} groups at once"}
    return Report("Memory by length", setting, MEMORY_METRICS, rows)


def _in_turns(runs: Mapping[str, Any], turns: int) -> dict[str, list[float]]:
    """Times of each run; the first turn, in which programs are compiled, does not count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in tqdm(range(turns + 1), unit=" turns"):
        for name, run in runs.items():
            times[name].append(run())
    return {name: values[1:] for name, values in times.items()}


def _ratio(times: list[float], reference: list[float]) -> float:
    return statistics.median(ours / theirs for ours, theirs in zip(times, reference, strict=True))


def _setting(bundle: Bundle, steps: int) -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "device": f"{device.device_kind} ({device.platform})",
        "denoiser": f"{bundle.name}, S = {bundle.sdit.num_frames}, {steps} steps, no guidance",
    }


def _measure_peak(path: str, frames: int, steps: int, batch: int) -> None:
    make_latents(Bundle.load(path), frames, num_inference_steps=steps, group_batch=batch)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


if __name__ == "__main__":
    _measure_peak(**json.loads(sys.argv[1]))
