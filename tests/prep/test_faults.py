"""Videos with planted faults: each lands under its reason, and everything sound is kept."""

import json
import re

import pytest
from planted import FAULTS, FRAMES, plant

from adiff_jax.data.source import ShardSource
from adiff_jax.prep.engine import prepare


@pytest.mark.slow
def test_every_fault_lands_under_its_reason(shared, tmp_path):
    expected = plant(tmp_path / "videos", clips=len(FAULTS) + 1)
    report = prepare(tmp_path / "videos", tmp_path / "out")
    assert {outcome.input: outcome.reason for outcome in report.outcomes} == expected
    outcomes = {outcome.input.rsplit(" ", 1)[0]: outcome for outcome in report.outcomes}
    assert outcomes["cut"].clips == 2
    assert "cut into 2 shots" in outcomes["cut"].notes
    assert outcomes["120 fps"].kept[0].frames == FRAMES
    assert "every 4th frame of 120 a second" in outcomes["120 fps"].notes
    assert "no sound" in outcomes["no sound"].notes
    assert all(not outcome.rejected for outcome in report.outcomes if not outcome.reason)

    clips = {clip.info.id: clip for clip in ShardSource(tmp_path / "out")}
    assert clips["120 fps 0.mp4#0"].info.fps == 30
    # Upright, the eyes are above the chin.
    rotated = clips["rotated 0.mp4#0"].landmarks
    assert (rotated[:, 33, 1] < rotated[:, 152, 1] - 0.3).all()
    assert any(name.startswith("ünï çødé 名前") for name in clips)

    page = (tmp_path / "out" / "report.html").read_text()
    assert "several faces" in page
    assert len(re.findall("<img", page)) >= len(clips)
    totals = json.loads((tmp_path / "out" / "report.json").read_text())
    assert totals["rejected"] == report.reasons
    assert totals["rejected"]["duplicate"] == 2
