"""However many processes and devices, and however the arrays lie on them, a training is the same.

`ADIFF_FULL_MATRIX=1` tries all combinations, which takes long.
"""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from distributed.conftest import rows

FULL = bool(os.environ.get("ADIFF_FULL_MATRIX"))
STEPS = 50 if FULL else 10
SHAPES = [(1, 1), (1, 8), (2, 4), (4, 2)]  # processes, devices of each
MESHES = {
    "data": {"data": 8, "fsdp": 1, "tensor": 1},
    "fsdp": {"data": 1, "fsdp": 8, "tensor": 1},
    "tensor": {"data": 2, "fsdp": 1, "tensor": 4},
    "mixed": {"data": 2, "fsdp": 2, "tensor": 2},
    "picked": {"data": 0, "fsdp": 0, "tensor": 0},
}
ONE = ((1, 1), "one")
ALL = [ONE, *((shape, mesh) for shape in SHAPES[1:] for mesh in MESHES)]
SOME = [ONE, ((1, 8), "picked"), ((2, 4), "mixed")]

Layout = tuple[tuple[int, int], str]


def name(layout: Layout) -> str:
    (processes, devices), mesh = layout
    return f"{processes}x{devices}-{mesh}"


def options(material: Path, mesh: str, **more: object) -> dict:
    sizes = MESHES.get(mesh, {"data": 1, "fsdp": 1, "tensor": 1})
    return {
        "data.source": str(material / "records"),
        "autoencoder": str(material / "autoencoder"),
        "steps": STEPS,
        # Tokens on several devices, and batches in parts, must change nothing either.
        "shard_tokens": mesh in ("tensor", "mixed"),
        "accumulate": 2 if mesh == "picked" else 1,
        **{f"mesh.{axis}": size for axis, size in sizes.items()},
        **more,
    }


def curve(workdir: Path) -> np.ndarray:
    return np.array([[row["loss"], row["gradient_norm"]] for row in rows(workdir)])


@pytest.mark.slow
def test_loss_curves_agree_and_any_layout_goes_on_from_any(tmp_path: Path, material: Path, train: Callable) -> None:
    layouts = ALL if FULL else SOME
    for shape in sorted({shape for shape, _ in layouts}):
        jobs = [
            {"workdir": str(tmp_path / name(layout)), "options": options(material, layout[1])}
            for layout in layouts
            if layout[0] == shape
        ]
        train(jobs, *shape)
    expected = curve(tmp_path / name(ONE))
    assert len(expected) == STEPS
    worst = 0.0
    for layout in layouts[1:]:
        difference = np.abs(curve(tmp_path / name(layout)) / expected - 1).max(axis=0)
        print(f"{name(layout)}: loss {difference[0]:.1e}, gradient norm {difference[1]:.1e}")
        worst = max(worst, difference[0])
    # float32 sums in another order, a part in ten million each, over the steps.
    assert worst < 1e-5

    ends = [ONE, ((1, 8), "fsdp"), ((2, 4), "mixed"), ((4, 2), "tensor")] if FULL else [ONE, layouts[-1]]
    for target in ends:
        jobs = [
            {
                "workdir": str(tmp_path / f"{name(source)}-to-{name(target)}"),
                "options": options(material, target[1], steps=STEPS + 1, resume=str(tmp_path / name(source))),
            }
            for source in ends
        ]
        train(jobs, *target[0])
    for source, target in itertools.product(ends, repeat=2):
        step = curve(tmp_path / f"{name(source)}-to-{name(target)}")
        reference = curve(tmp_path / f"{name(ONE)}-to-{name(ONE)}")
        assert len(step) == 1
        np.testing.assert_allclose(step, reference, rtol=1e-5, err_msg=f"{name(source)} to {name(target)}")
