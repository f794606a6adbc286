"""Files appear complete or not at all."""

import pytest

from adiff_jax.media.files import write_aside


def test_appears_on_success_only(tmp_path):
    path = tmp_path / "a.txt"
    with write_aside(path) as aside:
        aside.write_text("whole")
        assert aside.suffix == ".txt" and aside.parent == tmp_path and not path.exists()
    assert path.read_text() == "whole"
    with pytest.raises(RuntimeError), write_aside(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]
