"""A pipeline goes to a directory or the hub, card and all, and comes back."""

from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import tiny_bundle

from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
from adiff_jax.weights.hub import with_metadata
from adiff_jax.weights.tensors import WeightsError


@pytest.fixture
def pipeline(tmp_path: Path) -> AnchoredDiffusionPipeline:
    return AnchoredDiffusionPipeline(tiny_bundle(tmp_path))


def assert_same(loaded: AnchoredDiffusionPipeline, pipeline: AnchoredDiffusionPipeline) -> None:
    assert loaded.bundle.sdit == pipeline.bundle.sdit
    jax.tree.map(np.testing.assert_array_equal, loaded.bundle.sdit_params, pipeline.bundle.sdit_params)


def test_a_directory(pipeline: AnchoredDiffusionPipeline, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "saved")
    assert_same(AnchoredDiffusionPipeline.from_pretrained(tmp_path / "saved"), pipeline)


class Hub:
    """Stands for the hub: keeps what is uploaded in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.private: dict[str, bool] = {}

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> str:
        assert exist_ok
        self.private[repo_id] = private
        return f"https://hub/{repo_id}"

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        assert commit_message
        Path(folder_path).rename(self.folder / repo_id.replace("/", "--"))

    def snapshot_download(self, repo_id: str, *, allow_patterns: None) -> str:
        return str(self.folder / repo_id.replace("/", "--"))


def test_the_hub(pipeline: AnchoredDiffusionPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(tmp_path)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.snapshot_download)
    assert pipeline.push_to_hub("someone/tiny", private=True) == "https://hub/someone/tiny"
    assert hub.private == {"someone/tiny": True}
    loaded = AnchoredDiffusionPipeline.from_pretrained("someone/tiny")
    assert_same(loaded, pipeline)
    assert loaded.bundle.card.startswith("---\nlibrary_name: adiff_jax\n")
    assert loaded.bundle.card.endswith(pipeline.bundle.card)


def test_the_hub_refuses(pipeline: AnchoredDiffusionPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def create_repo(self, repo_id: str, **options: object) -> str:
            raise OSError("401 Unauthorized\nlog in first")

    monkeypatch.setattr("huggingface_hub.HfApi", Closed)
    with pytest.raises(WeightsError, match=r"cannot upload to someone/tiny .*: 401 Unauthorized$"):
        pipeline.push_to_hub("someone/tiny")


def test_a_cards_own_metadata_stay() -> None:
    card = with_metadata("---\nlicense: mit\ntags:\n- mine\n---\n# A card\n")
    assert "license: mit" in card
    assert "- mine" in card and "- jax" not in card
    assert "library_name: adiff_jax" in card
    assert card.endswith("# A card\n")
