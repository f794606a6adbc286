"""The measuring commands run the whole way and their tables say what they should of random and of true pictures."""

import json
import math
from pathlib import Path

import pytest
from tiny import tiny_bundle

from adiff_jax.app.cli import main


@pytest.fixture(scope="module")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    tiny_bundle(folder).save(folder / "tiny")
    return folder / "tiny"


@pytest.mark.usefixtures("shared")
def test_evaluate_reenact(bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["evaluate", "reenact", "--bundle", str(bundle_path), "--steps", "1", "--max-frames", "6"]
    assert main([*argv, "--driving", "synthetic:1", "synthetic:2", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "**landmark error**" in printed, "definitions are printed"
    content = json.loads((tmp_path / "reenactment.json").read_text())
    assert (tmp_path / "reenactment.md").read_text().strip() in printed
    for driver in ("synthetic-1", "synthetic-2"):
        for suffix in (".mp4", ".png", ".side_by_side.mp4", ".contact_sheet.png"):
            assert (tmp_path / (driver + suffix)).is_file()
    rows = content["rows"]
    truth = rows["synthetic-1, 6 frames: true picture"]
    assert truth["face found"] == 1
    assert truth["landmark error"] < 0.15  # at 32 x 32 pixels MediaPipe sees little
    assert rows["synthetic-1, 6 frames: generated"]["face found"] == 0, "random weights draw no face"
    assert rows["synthetic-1, 6 frames: generated"]["landmark error"] is None
    mean = (truth["APD"] + rows["synthetic-2, 6 frames: true picture"]["APD"]) / 2
    assert math.isclose(rows["mean: true picture"]["APD"], mean)


@pytest.mark.usefixtures("shared")
def test_evaluate_autoencoder(bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["evaluate", "autoencoder", "--bundle", str(bundle_path), "--clips", "2", "--frames", "3"]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    assert "**SSIM**" in capsys.readouterr().out
    rows = json.loads((tmp_path / "autoencoder.json").read_text())["rows"]
    assert rows["true picture"]["SSIM"] == pytest.approx(1)
    assert rows["true picture"]["PSNR"] is None  # infinite
    assert rows["autoencoder"]["PSNR"] < 20
