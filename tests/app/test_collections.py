"""`adiff data`: what it prints, finds and draws."""

import json
from pathlib import Path

import pytest

from adiff_jax.app.cli import main
from adiff_jax.media.pictures import read_picture


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "records"
    argv = ["prepare", "synthetic:3", "--out", str(folder), "--size", "32", "--longest", "4", "--shortest", "2"]
    assert main(argv) == 0
    return folder


def test_info(records: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["data", "info", str(records)]) == 0
    text = capsys.readouterr().out
    for words in ("3 clips, 12 frames of 32 x 32", "schema version: 4", "CC0-1.0", "not a real person", "labels"):
        assert words in text


def test_verify_finds_damage(records: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["data", "verify", str(records)]) == 0
    assert "1 shards, 3 clips, all as they were written" in capsys.readouterr().out
    manifest = json.loads((records / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    data = bytearray((records / manifest["shards"][0]["file"]).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / manifest["shards"][0]["file"]).write_bytes(data)
    assert main(["data", "verify", str(tmp_path)]) == 2
    assert "was changed or damaged" in capsys.readouterr().err


def test_show_draws_a_contact_sheet(records: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sheet = tmp_path / "sheet.png"
    assert main(["data", "show", str(records), "--out", str(sheet), "--clips", "2", "--frames", "3"]) == 0
    names = capsys.readouterr().out.splitlines()[1:]
    assert [name.split(":")[0] for name in names] == ["synthetic-0", "synthetic-2"]
    assert read_picture(sheet).shape == (4 * 34 - 2, 3 * 34 - 2, 3)  # a row of landmarks under each clip's


def test_what_is_no_folder_of_records(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for what in ("info", "verify", "show"):
        assert main(["data", what, str(tmp_path)]) == 2
        assert "not a folder of records" in capsys.readouterr().err
