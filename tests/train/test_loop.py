"""The loop: what a run leaves behind, and that stopping it changes nothing."""

import itertools
import json
import shlex
import signal
import sys
from contextlib import closing
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from toy import ToyTask, toy_config

from adiff_jax.data.source import SyntheticSource
from adiff_jax.data.transforms import autoencoder_transforms
from adiff_jax.media.video import read_video
from adiff_jax.runtime.checkpoints import Checkpoints
from adiff_jax.train import loop
from adiff_jax.train.health import TrainingError, batch_ids
from adiff_jax.train.loop import train
from adiff_jax.train.start import hold
from adiff_jax.weights.tensors import load_tensors


def final_gain(workdir: Path) -> np.ndarray:
    like = {"gain": jax.ShapeDtypeStruct((1, 3), np.float32)}
    return load_tensors(workdir / "export" / "toy" / "model.safetensors", like)["gain"]


def scalars(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Sends SIGTERM to this process while the given step's batch is awaited."""
    count = itertools.count(1)
    shard_batch = loop.shard_batch

    def shard_and_stop(mesh, batch):
        if next(count) == step:
            signal.raise_signal(signal.SIGTERM)
        return shard_batch(mesh, batch)

    monkeypatch.setattr(loop, "shard_batch", shard_and_stop)


@pytest.mark.usefixtures("toy")
class TestTrain:
    def test_leaves_a_complete_run_directory(self, tmp_path: Path) -> None:
        assert train(toy_config(), tmp_path)
        assert json.loads((tmp_path / "config.json").read_text())["optimizer"]["learning_rate"] == 0.1
        assert (tmp_path / "command.txt").read_text() == shlex.join(sys.orig_argv) + "\n"
        assert [row["step"] for row in scalars(tmp_path)] == [2, 4, 6]
        assert {"loss", "colour", "gradient_norm", "learning_rate", "samples_per_second", "input_wait"} <= set(
            scalars(tmp_path)[0]
        )
        assert Image.open(tmp_path / "samples" / "0000004.png").size == (6 * 16, 2 * 16)
        with read_video(tmp_path / "samples" / "0000006.mp4") as video:
            assert sum(1 for _ in video) == 6
        assert Checkpoints(tmp_path / "checkpoints").latest == 6
        assert np.isfinite(final_gain(tmp_path)).all()
        assert list((tmp_path / "tensorboard").iterdir())

    def test_zero_leaves_logging_previews_and_checkpoints_to_the_end(self, tmp_path: Path) -> None:
        config = toy_config()
        config.log_every = config.preview_every = config.checkpoint.every = 0
        assert train(config, tmp_path)
        assert [row["step"] for row in scalars(tmp_path)] == [6]
        assert {path.stem for path in (tmp_path / "samples").iterdir()} == {"0000006"}
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["6"]

    def test_learns(self, tmp_path: Path) -> None:
        config = toy_config(steps=40)
        config.batch_size = 6
        config.checkpoint.every = 40
        train(config, tmp_path)
        losses = [row["loss"] for row in scalars(tmp_path)]
        assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:2])  # the noise on the gain stays

    @pytest.mark.parametrize("step", [1, 3, 4])
    def test_stopped_and_continued_equals_undisturbed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
    ) -> None:
        assert train(toy_config(), tmp_path / "whole")
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            assert not train(toy_config(), tmp_path / "cut")
        assert Checkpoints(tmp_path / "cut" / "checkpoints").latest == step
        assert train(toy_config(), tmp_path / "cut")
        np.testing.assert_array_equal(final_gain(tmp_path / "cut"), final_gain(tmp_path / "whole"))
        assert scalars(tmp_path / "cut")[-1]["loss"] == scalars(tmp_path / "whole")[-1]["loss"]

    def test_a_finished_run_stays_as_it_is(self, tmp_path: Path) -> None:
        train(toy_config(), tmp_path)
        before = final_gain(tmp_path)
        assert train(toy_config(), tmp_path)
        np.testing.assert_array_equal(final_gain(tmp_path), before)

    def test_resume_goes_on_from_another_run(self, tmp_path: Path) -> None:
        train(toy_config(steps=4), tmp_path / "first")
        config = toy_config(steps=6)
        config.resume = str(tmp_path / "first")
        train(config, tmp_path / "second")
        train(toy_config(steps=6), tmp_path / "whole")
        np.testing.assert_array_equal(final_gain(tmp_path / "second"), final_gain(tmp_path / "whole"))
        assert [row["step"] for row in scalars(tmp_path / "second")] == [6]

    def test_two_runs_at_a_time_are_one_too_many(self, tmp_path: Path) -> None:
        with hold(tmp_path), pytest.raises(ValueError, match="another run is at work in"):
            train(toy_config(), tmp_path)
        assert [path.name for path in tmp_path.iterdir()] in ([], ["run.lock"])
        assert train(toy_config(), tmp_path)

    def test_own_checkpoint_comes_before_resume(self, tmp_path: Path) -> None:
        train(toy_config(steps=2), tmp_path)
        config = toy_config(steps=4)
        config.resume = str(tmp_path / "absent")
        assert train(config, tmp_path)

    def test_init_from_takes_weights_alone(self, tmp_path: Path) -> None:
        train(toy_config(), tmp_path / "first")
        config = toy_config(steps=2)
        config.optimizer.learning_rate = 0.0
        config.init_from = str(tmp_path / "first" / "export" / "toy")
        train(config, tmp_path / "second")
        np.testing.assert_array_equal(final_gain(tmp_path / "second"), final_gain(tmp_path / "first"))

    def test_resume_of_nothing_is_an_error(self, tmp_path: Path) -> None:
        config = toy_config()
        config.resume = str(tmp_path / "absent")
        with pytest.raises(ValueError, match="no checkpoint in"):
            train(config, tmp_path / "run")

    def test_gives_up_when_no_gradient_is_finite(self, tmp_path: Path) -> None:
        config = toy_config(steps=6)
        config.model.poison = 1.0
        config.max_skipped = 3
        with pytest.raises(TrainingError, match="4 steps in a row up to step 4"):
            train(config, tmp_path)
        assert scalars(tmp_path)[-1]["skipped"] == 2
        reports = [json.loads(path.read_text()) for path in sorted((tmp_path / "skipped").iterdir())]
        assert [report["step"] for report in reports] == [1, 2, 3, 4]
        assert reports[0]["loss"] in ("inf", "nan")
        # Six clips in batches of two: three steps go through all of them once.
        ids = [identifier for report in reports[:3] for identifier in report["clips"]]
        assert sorted(ids) == [f"synthetic-{i}" for i in range(6)]

    def test_clips_of_a_batch_are_found_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        transforms = autoencoder_transforms(flip=False, affine=False, jitter=False)
        monkeypatch.setattr(ToyTask, "transforms", lambda self: transforms)
        config = toy_config()
        source = SyntheticSource(6, num_frames=2, size=16)
        with closing(loop.load_batches(ToyTask(), source, config, (0, 1))) as batches:
            pictures = [next(batches)["landmarks"] for _ in range(3)]
        for step, landmarks in enumerate(pictures, start=1):
            for identifier, drawn in zip(batch_ids(source, config, step), landmarks):
                frames = source[int(identifier.removeprefix("synthetic-"))].landmarks[..., :2]
                assert np.abs(frames - drawn).max(axis=(1, 2)).min() < 1e-6

    def test_batches_in_parts(self, tmp_path: Path) -> None:
        assert train(toy_config(steps=4), tmp_path / "whole")
        config = toy_config(steps=4)
        config.accumulate = 2
        assert train(config, tmp_path / "parts")
        np.testing.assert_allclose(final_gain(tmp_path / "parts"), final_gain(tmp_path / "whole"), rtol=1e-5)

    def test_profiles_the_steps_that_the_config_names(self, tmp_path: Path) -> None:
        config = toy_config(steps=4)
        config.profile.first, config.profile.steps = 3, 1
        config.checkpoint.directory = str(tmp_path / "elsewhere")
        assert train(config, tmp_path / "run")
        assert len(list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))) == 1
        assert not (tmp_path / "run" / "checkpoints").exists()
        assert Checkpoints(tmp_path / "elsewhere").steps == [2, 4]

    def test_unknown_task_is_refused(self, tmp_path: Path) -> None:
        config = toy_config()
        config.task = "vae"
        with pytest.raises(ValueError, match="'vae' is none of"):
            train(config, tmp_path)

    @pytest.mark.parametrize("parts", [0, 3])
    def test_impossible_parts_are_refused(self, tmp_path: Path, parts: int) -> None:
        config = toy_config()
        config.accumulate = parts
        with pytest.raises(ValueError, match="cannot be computed in"):
            train(config, tmp_path)

    def test_a_contrastive_batch_cannot_be_divided(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ToyTask, "separable", False)
        config = toy_config()
        config.accumulate = 2
        with pytest.raises(ValueError, match="accumulate must be 1"):
            train(config, tmp_path)
