"""Data flows one way: a package imports only from those above it, and what it must not know it does not import."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# From the top of the house to the front door; a package may import from itself and from those before it.
LAYERS = (
    "types",
    "media",
    "data",
    "models",
    "diffusion",
    "sampling",
    "runtime",
    "weights",
    "train",
    "prep",
    "evals",
    "app",
)
# Libraries that only the named packages may import.
CONFINED = {"torch": {"weights", "evals"}, "mediapipe": {"media"}, "av": {"media"}, "tyro": {"app"}, "c2pa": {"app"}}
# Packages that stay free of JAX, so that data workers never start an accelerator.
NO_JAX = {"media", "data"}

PACKAGE = Path(__file__).resolve().parent.parent / "adiff_jax"
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of every import in a file, also those inside functions."""
    package = ["adiff_jax", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downward(path: Path) -> None:
    here = layer(path)
    if here in ("__init__", "__main__"):
        return
    assert here in LAYERS, f"{path} is in no known layer"
    for line, name in imported_modules(path):
        parts = name.split(".")
        if parts[0] == "adiff_jax" and len(parts) > 1 and parts[1] != "__version__":
            assert LAYERS.index(parts[1]) <= LAYERS.index(here), f"{path}:{line}: {here} imports {name}"
        assert here in CONFINED.get(parts[0], {here}), f"{path}:{line}: {here} imports {parts[0]}"
        assert not (here in NO_JAX and parts[0] in ("jax", "flax")), f"{path}:{line}: {here} imports {parts[0]}"


def test_modules_import_without_cycles() -> None:
    graph = {}
    for path in MODULES:
        name = ".".join(["adiff_jax", *path.relative_to(PACKAGE).with_suffix("").parts])
        graph[name] = {module for _, module in imported_modules(path) if module.startswith("adiff_jax")}
    edges = {
        name: {other for other in graph if other != name and any(m == other or m.startswith(other + ".") for m in used)}
        for name, used in graph.items()
    }
    while edges:
        leaves = {name for name, used in edges.items() if not used}
        assert leaves, f"these modules import each other in a circle: {sorted(edges)}"
        edges = {name: used - leaves for name, used in edges.items() if name not in leaves}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_room_for_odds_and_ends(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "misc", "common"}
    assert len(path.read_text().splitlines()) <= 450, "split this file"


def test_the_layering_test_sees_a_back_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "media" / "video.py"
    module.parent.mkdir()
    module.write_text("def read():\n    from ..train import loop\n")
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    assert list(imported_modules(module)) == [(2, "adiff_jax.train.loop")]
    with pytest.raises(AssertionError, match="media imports"):
        test_imports_go_downward(module)
