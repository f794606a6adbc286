"""The notebook, executed in its small form: a tiny bundle, few steps, few frames."""

import json
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest
from tiny import tiny_bundle_for_texts


@pytest.mark.slow
def test_the_notebook_runs(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    notebook = json.loads((root / "launch" / "colab.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"), "kept without outputs"
    tiny_bundle_for_texts(tmp_path).save(tmp_path / "tiny")
    settings = {"ADIFF_BUNDLE": tmp_path / "tiny", "ADIFF_STEPS": 2, "ADIFF_FRAMES": 4}
    for name, value in (settings | {"XDG_CONFIG_HOME": tmp_path / "config"}).items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile(cell, "colab.ipynb", "exec"), names)
    plt.close("all")
    assert len(names["frames"]) == 4
    assert (tmp_path / "result.mp4").is_file()
    assert "2 of 2 steps" in capsys.readouterr().out
