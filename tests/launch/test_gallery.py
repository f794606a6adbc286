"""The gallery: the figures that are promised, labelled and signed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_bundle_for_texts

from launch.gallery import Gallery, labelled_rows


def test_rows_stand_under_each_other_beside_their_titles() -> None:
    rows = {name: [np.full((64, 64, 3), shade, np.uint8)] * 3 for name, shade in (("a", 10), ("b of many words", 200))}
    sheet = labelled_rows(rows)
    height, width, _ = sheet.shape
    assert height == 2 * 64 + 2
    right = sheet[:, width - (3 * 66 - 2) :]
    assert (right[:64, :64] == 10).all() and (right[66:, :64] == 200).all()
    titles = sheet[:, : width - (3 * 66 - 2)]
    assert (titles[:64] < 128).any() and (titles[66:] < 128).any(), "titles are written"


@pytest.mark.slow
def test_the_figures_are_made_from_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    tiny_bundle_for_texts(tmp_path).save(tmp_path / "tiny")
    out = tmp_path / "gallery"
    Gallery(
        bundle=str(tmp_path / "tiny"), steps=2, frames=5, columns=3, texts=("a face",), edits=("a face",), out=out
    ).run()
    assert sorted(path.name for path in out.iterdir()) == ["figure1.png", "figure4.png"]
    for name, rows, columns in (("figure1", 4, 4), ("figure4", 3, 5)):
        with Image.open(out / f"{name}.png") as picture:
            assert picture.height == rows * 34 - 2
            assert picture.width == round(1.6 * 34) + columns * 34 - 2
            assert "sampled for a figure" in picture.info["Comment"]
