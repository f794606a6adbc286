"""Reports of sampling and writing: each step once and in order, of no effect on the result, and compiled once."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_bundle

from adiff_jax.app.export import export
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline, sampler
from adiff_jax.app.progress import listening, progress_bar, tell


@jax.jit
def count_to_three(number):
    def body(total, i):
        total = total + i
        tell(number, i, total)
        return total, None

    return jax.lax.scan(body, jnp.zeros(()), jnp.arange(3))[0]


def test_listeners_hear_their_own_program_which_is_compiled_once():
    first, second = [], []
    with listening(first.append) as one, listening(second.append) as two:
        count_to_three(one)
        count_to_three(two)
        count_to_three(two)
    assert first == [0, 1, 2]
    assert second == [0, 1, 2] * 2
    assert count_to_three._cache_size() == 1


def test_a_listener_that_is_gone_is_not_missed():
    heard = []
    with listening(heard.append) as number:
        pass
    jax.block_until_ready(count_to_three(number))
    jax.effects_barrier()
    assert heard == []


def test_an_interruption_ends_the_listening():
    heard = []
    with pytest.raises(KeyboardInterrupt), listening(heard.append) as number:
        raise KeyboardInterrupt
    jax.block_until_ready(count_to_three(number))
    jax.effects_barrier()
    assert heard == []


def test_reenactment_reports_steps_and_frames(tmp_path):
    pipeline = AnchoredDiffusionPipeline(tiny_bundle(tmp_path))
    options = {"num_inference_steps": 3, "max_frames": 5}
    steps, frames = [], []

    def reenact(**more):
        return pipeline.reenact("synthetic:7", "synthetic:1", **options, **more)

    silent = reenact()
    (latents,) = silent.latents
    reported = reenact(progress=lambda *report: steps.append(report))
    assert steps == [], "nothing is sampled yet"
    export(reported, tmp_path / "out.mp4", progress=lambda *report: frames.append(report))
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert frames == [(n, 5) for n in range(1, 6)]
    np.testing.assert_array_equal(next(iter(reported.latents)), latents)

    programs = sampler.sample_request._cache_size()
    assert next(iter(reenact(progress=lambda *report: None).latents)).shape == latents.shape
    assert sampler.sample_request._cache_size() == programs


def test_a_bar_appears_with_the_first_report_and_begins_anew_after_the_last(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    with progress_bar("sampling", "steps") as progress:
        assert screen.getvalue() == ""
        for _ in range(2):
            for done in range(5):
                progress(done, 4)
        progress(0, 7)
    text = screen.getvalue()
    assert text.count("4/4") == 2
    assert "sampling" in text and "0/7" in text
