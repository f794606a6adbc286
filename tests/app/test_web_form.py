"""What a form asks for: every mistake has its sentence, a drawn example stands for itself."""

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from adiff_jax.app.motion_options import MotionOptions
from adiff_jax.app.options import SamplingOptions
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
from adiff_jax.app.web.examples import Examples, draw_examples
from adiff_jax.app.web.form import MAX_STEPS, MODES, Form
from adiff_jax.app.web.jobs import Job
from adiff_jax.app.web.limits import PageLimits
from adiff_jax.app.web.sessions import Sessions
from adiff_jax.media.pictures import write_picture

LIMITS = PageLimits(max_frames=20)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    with Sessions(tmp_path_factory.mktemp("sessions")) as opened:
        yield opened


@pytest.fixture(scope="module")
def examples(sessions: Sessions) -> Examples:
    return draw_examples(sessions.examples, people=(3,), drivers=(4,), frames=2, size=32)


@pytest.fixture(scope="module")
def form(examples: Examples) -> Form:
    return Form(
        mode="Animate a picture",
        picture={"path": str(examples.pictures[0])},
        text="",
        clip={"path": str(examples.clips[0])},
        consent=False,
        frames=1000,
        steps=1e6,
        seed=None,
        guidance_clip=1.5,
        guidance_landmarks=2,
        strength=0.5,
        region="all",
        motion="relative",
        motion_strength=1.0,
        paste_back=False,
        pin_source=False,
    )


@pytest.fixture
def job(sessions: Sessions, examples: Examples, tmp_path: Path, form: Form):
    def make(**changes: object) -> Job:
        return dataclasses.replace(form, **changes).job(sessions, tmp_path, examples, LIMITS)

    return make


def test_examples_are_recognised_wherever_they_are(examples: Examples, tmp_path: Path) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(examples.pictures[0].read_bytes())
    assert examples.spec(str(copy)) == "synthetic:3"
    assert examples.spec(str(examples.clips[0])) == "synthetic:4"
    assert examples.spec(None) is None
    copy.write_bytes(b"other")
    assert examples.spec(str(copy)) is None


def test_a_drawn_person_needs_no_consent_and_options_stay_in_bounds(job) -> None:
    made = job()
    assert (made.action, made.source, made.text, made.driving) == ("reenact", "synthetic:3", None, "synthetic:4")
    assert made.options["max_frames"] == LIMITS.max_frames
    assert made.options["num_inference_steps"] == MAX_STEPS
    assert made.options["seed"] == 0 and "strength" not in made.options


def test_texts_and_edits(job) -> None:
    made = job(mode="Animate a text", text=" red hair ", picture={"path": "/etc/hostname"})
    assert (made.action, made.source, made.text, made.driving) == ("animate", None, "red hair", "synthetic:4")
    made = job(mode="Edit a video", text="x" * 10_000)
    assert (made.action, made.source, made.driving) == ("edit", "synthetic:4", None)
    assert len(made.text) == 300 and made.options["strength"] == 0.5


def test_a_reenactment_has_the_options_of_motion(job) -> None:
    chosen = {"region": "lips", "motion": "absolute", "motion_strength": 0.5, "paste_back": True, "pin_source": True}
    assert chosen.items() <= job(**chosen).options.items()
    assert dataclasses.asdict(MotionOptions()).items() <= job().options.items()
    for mode in ("Animate a text", "Edit a video"):
        assert not chosen.keys() & job(mode=mode, text="red hair", **chosen).options.keys()


@pytest.mark.parametrize("mode", MODES)
def test_the_pipeline_takes_what_the_form_gives(job, mode: str) -> None:
    known = {field.name for options in (SamplingOptions, MotionOptions) for field in dataclasses.fields(options)}
    known |= inspect.signature(getattr(AnchoredDiffusionPipeline, MODES[mode])).parameters.keys()
    assert job(mode=mode, text="red hair").options.keys() <= known


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"picture": None}, "Add a picture"),
        ({"clip": None}, "Add a video with the motion"),
        ({"mode": "Edit a video", "clip": None, "text": "a"}, "Add the video to edit"),
        ({"mode": "Animate a text", "text": "  "}, "Write what the result shows"),
        ({"picture": {"path": "/etc/hostname"}}, "not here any more"),
        ({"motion_strength": 9}, "must be within 0 and 3"),
    ],
)
def test_what_is_missing_is_said(job, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        job(**changes)


def test_a_real_person_needs_consent_and_a_readable_file(job, sessions: Sessions) -> None:
    picture = sessions.uploads / "me.png"
    write_picture(picture, np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="Confirm that the person agreed"):
        job(picture={"path": str(picture)})
    made = job(picture={"path": str(picture)}, consent=True)
    assert made.source == str(picture.resolve()) and made.consent
    picture.write_bytes(picture.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"me.png"):
        job(picture={"path": str(picture)}, consent=True)


def test_a_face_is_put_back_into_pictures_of_the_size_of_a_video(job, sessions: Sessions) -> None:
    picture = sessions.uploads / "large.png"
    write_picture(picture, np.zeros((3000, 3500, 3), np.uint8))
    with pytest.raises(ValueError, match=r"large.png: too large for a face to be put back into; 9 megapixels"):
        job(picture={"path": str(picture)}, consent=True, paste_back=True)
