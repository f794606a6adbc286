"""What a worker does with a job."""

import multiprocessing
import signal
import tempfile
import threading
from pathlib import Path

import pytest
from tiny import tiny_bundle

from adiff_jax.app.options import SamplingOptions
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
from adiff_jax.app.web import worker
from adiff_jax.app.web.jobs import UNEXPECTED, Advance, Failed, Job
from adiff_jax.app.web.making import DRAFT_STEPS, make


def test_the_default_steps_have_a_draft() -> None:
    assert SamplingOptions().num_inference_steps > 2 * DRAFT_STEPS


@pytest.mark.slow
def test_the_draft_shows_the_face_alone(tmp_path: Path) -> None:
    pipeline = AnchoredDiffusionPipeline(tiny_bundle(tmp_path))
    options = {"max_frames": 3, "num_inference_steps": SamplingOptions().num_inference_steps, "paste_back": True}
    job = Job("reenact", "synthetic:7", None, "synthetic:12", tmp_path / "out.mp4", consent=False, options=options)
    reports: list[Advance] = []
    with pytest.raises(ValueError, match="nothing to paste back into"):  # of the video; its draft has been shown
        make(pipeline, job, reports.append)
    assert reports[-1].stage == "Drafting" and reports[-1].preview.shape == (pipeline.size, 3 * pipeline.size, 3)
    assert not job.out.exists()


def test_a_bundle_that_does_not_load_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(tempfile, "tempdir", None)
    job = Job("reenact", "synthetic:7", None, "synthetic:12", tmp_path / "out.mp4", consent=False, options={})
    ours, theirs = multiprocessing.Pipe()
    answers: list[Failed] = []

    def ask() -> None:
        for _ in range(2):
            ours.send(job)
            answers.append(ours.recv())
        ours.close()

    asking = threading.Thread(target=ask)
    asking.start()
    worker._work(theirs, "nowhere", None, tmp_path)
    asking.join()
    assert [answer.message for answer in answers] == [UNEXPECTED] * 2
    assert "no bundle at nowhere" in answers[0].detail
