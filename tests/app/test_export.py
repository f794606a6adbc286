"""The export: the driver's frames, times and sound; labelled; all files or none."""

import dataclasses
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import c2pa
import jax.numpy as jnp
import numpy as np
import pytest

from adiff_jax.app.consent import Consent
from adiff_jax.app.export import SHEET_COLUMNS, export
from adiff_jax.app.footage import video_footage
from adiff_jax.app.inputs import Driving, Source
from adiff_jax.app.manifest import read_manifest
from adiff_jax.app.pipeline import GeneratedVideo
from adiff_jax.app.pipeline.video import Origin
from adiff_jax.app.provenance import LABEL, stamp
from adiff_jax.app.signing import SigningError
from adiff_jax.media.comments import read_comment
from adiff_jax.media.errors import MediaError
from adiff_jax.media.landmarks import FaceLandmarks, LandmarkDetector
from adiff_jax.media.pictures import read_picture
from adiff_jax.media.video import Frame, read_video

SIZE = 64


def picture(value: int) -> np.ndarray:
    return np.full((SIZE, SIZE, 3), value, np.uint8)


def reenactment(num_frames: int = 12, fails_at: int | None = None, times: np.ndarray | None = None) -> GeneratedVideo:
    """A grey video that gets lighter; frame `fails_at` cannot be decoded."""

    def decode(latents: jnp.ndarray) -> Iterator[np.ndarray]:
        for index, value in enumerate(latents):
            if index == fails_at:
                raise ValueError("the decoder broke")
            yield picture(int(value[0, 0, 0]))

    return GeneratedVideo(
        action="reenacted",
        inputs={
            "source": Origin("person.png", "1" * 64),
            "driver": Origin("talk.mp4", "2" * 64),
            "driver 9": Origin("more.mp4", "3" * 64),
        },
        source=Source("person.png", picture(200), np.zeros((478, 3), np.float32), sha256="1" * 64),
        driving=Driving(
            name="talk.mp4",
            points=np.zeros((num_frames, 478, 3), np.float32),
            neutral=np.zeros((478, 3), np.float32),
            times=np.arange(num_frames) / 24 if times is None else times,
            fps=Fraction(24),
            audio=(),
            frames=lambda: iter([picture(100)] * num_frames),
            sha256="2" * 64,
        ),
        landmarks=np.zeros((num_frames, 478, 3), np.float32),
        bundle="tiny",
        latents=[10.0 * jnp.arange(num_frames)[:, None, None, None]],
        decode=decode,
        digests={"bundle": "ab" * 32},
    )


class Somebody(LandmarkDetector):
    """Sees a face in every frame."""

    def __init__(self) -> None:
        pass

    def video(self, frames: Iterable[Frame], face: int | None = None) -> FaceLandmarks:
        times = np.array([frame.time for frame in frames])
        points = np.random.default_rng(0).uniform(10, 50, (len(times), 478, 3)).astype(np.float32)
        blendshapes, pose = (np.zeros((len(times), *shape), np.float32) for shape in ((52,), (4, 4)))
        return FaceLandmarks(points, blendshapes, pose, np.ones(len(times), bool), times)


def test_files_and_their_contents(tmp_path: Path) -> None:
    files = export(reenactment(), tmp_path / "out.mp4")
    assert [path.name for path in files] == ["out.mp4", "out.side_by_side.mp4", "out.contact_sheet.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in files)
    with read_video(files.video) as video:
        frames = [frame.image for frame in video]
        assert video.fps == 24
        assert len(frames) == 12
    for index, frame in enumerate(frames):
        expected = stamp(picture(10 * index)).astype(int)
        assert np.abs(frame - expected)[: SIZE // 2].max() <= 3  # what 4:2:0 and x264 leave of flat grey
        assert np.abs(frame - expected).mean() < 8
    with read_video(files.side_by_side) as video:
        assert (video.width, video.height) == (4 * SIZE, SIZE)
        row = next(iter(video)).image[4].astype(int)
        np.testing.assert_allclose(row.reshape(4, SIZE, 3).mean(axis=(1, 2)), [200, 100, 0, 0], atol=4)
    sheet = read_picture(files.contact_sheet)
    assert sheet.shape == (3 * SIZE + 4, (1 + SHEET_COLUMNS) * SIZE + 2 * SHEET_COLUMNS, 3)
    for path in files:
        assert LABEL in read_comment(path)
        assert "source person.png, driver talk.mp4" in read_comment(path)


def test_every_file_is_signed_and_says_of_what_it_was_made(tmp_path: Path) -> None:
    consent = Consent.now("declared on the web page")
    for path in export(reenactment(), tmp_path / "out.mp4", consent=consent):
        report = read_manifest(path)
        assert (report.status, report.generated, report.trusted) == ("unchanged", True, True)
        assert report.record["bundle"] == {"name": "tiny", "sha256": {"bundle": "ab" * 32}}
        assert report.record["inputs"] == [
            {"role": "source", "name": "person.png", "sha256": "1" * 64, "consent": dataclasses.asdict(consent)},
            {"role": "driver", "name": "talk.mp4", "sha256": "2" * 64},
            {"role": "driver 9", "name": "more.mp4", "sha256": "3" * 64},
        ]


def test_files_that_show_what_went_in_do_not_call_all_of_themselves_generated(tmp_path: Path) -> None:
    video = reenactment()
    of_nobody = dataclasses.replace(video, inputs={"source": Origin("synthetic:1"), "driver": Origin("synthetic:2")})
    for number, (made, shown) in enumerate([(video, True), (of_nobody, False)]):
        files = export(made, tmp_path / f"{number}.mp4")
        composite = ["compositeWithTrainedAlgorithmicMedia" in c2pa.Reader(path).json() for path in files]
        assert composite == [False, shown, shown]


def test_without_the_label_the_manifest_stays(tmp_path: Path) -> None:
    files = export(reenactment(), tmp_path / "out.mp4", label=False)
    with read_video(files.video) as video:
        for index, frame in enumerate(video):
            assert np.abs(frame.image.astype(int) - 10 * index).max() <= 3  # flat grey up to the corner
    assert read_manifest(files.video).generated


def test_a_key_that_cannot_be_used_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    with pytest.raises(SigningError):
        export(reenactment(fails_at=0), tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_times_of_the_driver_are_kept(tmp_path: Path) -> None:
    times = 0.5 + np.array([0.0, 0.04, 0.12, 0.16, 0.4])
    with read_video(export(reenactment(5, times=times), tmp_path / "out.mp4").video) as video:
        np.testing.assert_allclose([frame.time for frame in video], times - times[0], atol=1e-3)


def test_sound_and_picture_of_a_driver_share_the_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts = 10 + index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    footage, _ = video_footage(path, Somebody(), None, None, smooth=False)
    assert footage.times[0] == 0
    assert [sound.origin for sound in footage.audio] == [Fraction(2, 5)]


def test_an_error_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_text("an earlier result")
    with pytest.raises(ValueError, match="the decoder broke"):
        export(reenactment(fails_at=7), tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_text() == "an earlier result"


def test_a_driver_that_ends_early_is_an_error(tmp_path: Path) -> None:
    short = reenactment()
    object.__setattr__(short.driving, "frames", lambda: iter([picture(0)] * 5))
    with pytest.raises(ValueError, match="shorter"):
        export(short, tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


def test_a_long_video_is_not_held_in_memory(tmp_path: Path) -> None:
    held = []

    def decode(latents: jnp.ndarray) -> Iterator[np.ndarray]:
        for value in latents:
            held.append(float(value[0, 0, 0]))
            yield picture(int(held[-1]) % 250)

    video = reenactment(30)
    object.__setattr__(video, "decode", decode)
    frames = iter(video)
    next(frames)
    assert held == [0]


@pytest.mark.parametrize(("name", "message"), [("out.png", "ends in .mp4"), ("no/out.mp4", "does not exist")])
def test_bad_names(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        export(reenactment(), tmp_path / name)
    assert not list(tmp_path.iterdir())
