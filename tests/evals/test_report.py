"""A report keeps its numbers, says what is not measured, and carries its definitions."""

import json
from pathlib import Path

import pytest

from adiff_jax.evals.report import Metric, Report, mean_rows

REPORT = Report(
    title="Two rows",
    setting={"frames": 96},
    metrics=(Metric("PSNR", "decibels", ".1f", "higher"), Metric("error", "a share", ".1%")),
    rows={"ours": {"PSNR": 20.04, "error": 0.0123}, "none": {"PSNR": float("nan")}},
)


def test_markdown() -> None:
    lines = REPORT.markdown().splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert table[0] == ["", "PSNR ↑", "error ↓"]
    assert table[2:] == [["ours", "20.0", "1.2%"], ["none", "n/a", "n/a"]]
    assert "- frames: 96" in lines
    assert "- **error**: a share." in lines


def test_saved_json_is_strict_and_complete(tmp_path: Path) -> None:
    REPORT.save(tmp_path / "new", "table")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["table.json", "table.md"]
    content = json.loads((tmp_path / "new/table.json").read_text(), parse_constant=lambda name: 1 / 0)
    assert content["rows"] == {"ours": {"PSNR": 20.04, "error": 0.0123}, "none": {"PSNR": None}}
    assert content["definitions"] == {"PSNR": "decibels", "error": "a share"}


def test_means_are_of_what_all_tables_have() -> None:
    tables = [{"ours": {"L1": 2.0, "PSNR": 20.0}, "truth": {"L1": 0.0}}, {"ours": {"L1": 4.0}}]
    assert mean_rows(tables) == {"ours": {"L1": pytest.approx(3.0)}}
