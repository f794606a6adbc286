"""A bundle's digest is that of its content, wherever it is stored."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import tiny_bundle

from adiff_jax.weights.bundle import Bundle
from adiff_jax.weights.digest import component_digest
from adiff_jax.weights.modality import Modality


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """With weights that half precision holds exactly."""
    bundle = tiny_bundle(tmp_path_factory.mktemp("tokenizer"))
    half = {
        f"{name}_params": jax.tree.map(
            lambda leaf: leaf.astype(np.float16).astype(np.float32), getattr(bundle, f"{name}_params")
        )
        for name in ("sdit", "autoencoder", "clip")
    }
    return dataclasses.replace(bundle, **half)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_same_from_any_place_and_precision(bundle: Bundle, tmp_path: Path, dtype: str) -> None:
    bundle.save(tmp_path / "saved", dtype)
    assert Bundle.load(tmp_path / "saved").digests == bundle.digests


def test_one_changed_number_changes_it(bundle: Bundle) -> None:
    leaves, tree = jax.tree.flatten(bundle.sdit_params)
    changed = [np.array(leaf) for leaf in leaves]
    changed[-1].flat[0] += 1e-3
    other = dataclasses.replace(bundle, sdit_params=jax.tree.unflatten(tree, changed))
    assert {name for name, value in bundle.digests.items() if other.digests[name] != value} == {"sdit", "bundle"}
    slower = dataclasses.replace(bundle, scheduler=dataclasses.replace(bundle.scheduler, schedule="linear"))
    assert {name for name, value in bundle.digests.items() if slower.digests[name] != value} == {"bundle"}


def test_an_option_that_a_later_version_adds_leaves_it(bundle: Bundle) -> None:
    @dataclasses.dataclass(frozen=True)
    class Later(type(bundle.sdit)):
        something_new: bool = False

    later = Later(**dataclasses.asdict(bundle.sdit))
    assert component_digest(later, bundle.sdit_params) == bundle.digests["sdit"]
    used = dataclasses.replace(later, something_new=True)
    assert component_digest(used, bundle.sdit_params) != bundle.digests["sdit"]


def test_the_modality_gap_counts(bundle: Bundle) -> None:
    means = np.eye(2, 8, dtype=np.float32)
    one, other = (dataclasses.replace(bundle, modality=Modality(means[i], means[1 - i])) for i in (0, 1))
    assert len({bundle.digests["bundle"], one.digests["bundle"], other.digests["bundle"]}) == 3
