"""Published files are read without executing anything; what cannot be read is named."""

import builtins
import json
import os
import pickle
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from adiff_jax.weights import hub, sources
from adiff_jax.weights.sources import Layout, find_folder, read_config, read_file, read_folder
from adiff_jax.weights.tensors import WeightsError

LAYOUT = Layout("model.safetensors", "pytorch_model.bin", subfolder="part", others=("vocab.json",))


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"layer{seed}.{name}": rng.standard_normal((3, 2), np.float32) for name in ("a", "b")}


def assert_equal(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_one_file_and_several(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "model.safetensors")
    assert_equal(read_folder(tmp_path, LAYOUT), tensors())
    (tmp_path / "model.safetensors").rename(tmp_path / "model-1.safetensors")
    save_file(tensors(1), tmp_path / "model-2.safetensors")
    parts = {name: f"model-{part + 1}.safetensors" for part in (0, 1) for name in tensors(part)}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": parts}))
    assert_equal(read_folder(tmp_path, LAYOUT), tensors() | tensors(1))
    index.write_text(json.dumps({"weight_map": parts | {"layer9.a": "model-2.safetensors"}}))
    with pytest.raises(WeightsError, match=r"missing tensor layer9\.a"):
        read_folder(tmp_path, LAYOUT)
    index.write_text(json.dumps({"weight_map": parts | {"layer9.a": "model-9.safetensors"}}))
    with pytest.raises(WeightsError, match=r"no weights at .*model-9\.safetensors"):
        read_folder(tmp_path, LAYOUT)
    index.write_text(json.dumps({"weight_map": {"a": "../model-1.safetensors"}}))
    with pytest.raises(WeightsError, match="is not a file beside it"):
        read_folder(tmp_path, LAYOUT)


def test_bfloat16_is_read_without_torch(tmp_path: Path) -> None:
    half = {"a": np.arange(4).astype(ml_dtypes.bfloat16)}
    save_file(half, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(read_folder(tmp_path, LAYOUT)["a"].astype(np.float32), [0, 1, 2, 3])


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        read_folder(tmp_path, LAYOUT)
    with pytest.raises(WeightsError, match=r"has no config\.json"):
        find_folder(tmp_path, LAYOUT)
    with pytest.raises(WeightsError, match="neither a file or folder nor a repository"):
        find_folder("nowhere", LAYOUT)


def test_the_folder_of_a_pipeline(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part/config.json").write_text('{"a": 1}')
    assert find_folder(tmp_path, LAYOUT) == tmp_path / "part"
    assert read_config(tmp_path / "part") == {"a": 1}


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[1]", "is not a JSON object")])
def test_a_damaged_config_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=message):
        read_config(tmp_path)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    if name.endswith(".pt"):
        pytest.importorskip("torch", reason="PyTorch, with the extra `import`, reads these files")
    (tmp_path / name).write_bytes(b"PK\x03\x04 not weights")
    with pytest.raises(WeightsError, match=f"{name} is "):
        read_file(tmp_path / name)


class Malicious:
    """Pickles as the call of a function."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_file_that_would_run_code_is_refused(tmp_path: Path, writer: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, with the extra `import`, reads these files")
    content = {"x_embedder.proj.weight": Malicious(tmp_path / "executed")}
    if writer == "torch":
        torch.save(content, tmp_path / "DiT.pt")
    else:
        (tmp_path / "DiT.pt").write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match=r"DiT\.pt is refused, and was not executed"):
        read_file(tmp_path / "DiT.pt")
    assert not (tmp_path / "executed").exists()
    if writer == "pickle":
        pickle.loads((tmp_path / "DiT.pt").read_bytes())
        assert (tmp_path / "executed").exists(), "the file does run code for a reader that lets it"


def test_pickled_tensors_and_the_averaged_ones_of_a_checkpoint(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, with the extra `import`, reads these files")
    state = {name: torch.from_numpy(value) for name, value in tensors().items()}
    torch.save({name: value.bfloat16() for name, value in state.items()}, tmp_path / "half.pt")
    for name, value in read_file(tmp_path / "half.pt").items():
        np.testing.assert_allclose(value, tensors()[name], rtol=1e-2)
    torch.save({"ema": state, "model": {}, "opt": {"step": 3}}, tmp_path / "checkpoint.pt")
    assert_equal(read_file(tmp_path / "checkpoint.pt"), tensors())
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="is not a dictionary of tensors"):
        read_file(tmp_path / "list.pt")


def test_without_torch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without_torch(name: str, *args: object, **options: object) -> object:
        if name == "torch":
            raise ImportError("No module named 'torch'")
        return whole(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    (tmp_path / "DiT.pt").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"DiT\.pt needs PyTorch: pip install 'adiff_jax\[import\]'"):
        read_file(tmp_path / "DiT.pt")


def test_a_repository_is_downloaded_without_what_is_not_wanted(tmp_path: Path, monkeypatch) -> None:
    asked = []

    def download(repo_id: str, patterns: list[str]) -> Path:
        asked.append((repo_id, patterns))
        (tmp_path / "part").mkdir(exist_ok=True)
        (tmp_path / "part/config.json").write_text("{}")
        return tmp_path

    monkeypatch.setattr(sources, "download", download)
    assert find_folder("owner/name", LAYOUT) == tmp_path / "part"
    assert [repo_id for repo_id, _ in asked] == ["owner/name"] * 2
    assert "part/model.safetensors.index.json" in asked[0][1]
    assert not any(pattern.endswith(".bin") for pattern in asked[0][1])
    assert "pytorch_model-*.bin" in asked[1][1]


def test_hub_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(repo_id: str, **options: object) -> str:
        raise FileNotFoundError("no connection\nand a long explanation")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(WeightsError) as error:
        hub.download("owner/name")
    assert (
        str(error.value) == "owner/name is not here, and cannot be downloaded from the Hugging Face hub: no connection"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai/clip-vit-large-patch14", True),
        ("synthetic-128", False),
        ("/absolute/path", False),
        ("../runs/x", False),
        ("a/b/c", False),
        ("runs/", False),
    ],
)
def test_the_form_of_a_repository(name: str, expected: bool) -> None:
    assert hub.is_repo_id(name) == expected
