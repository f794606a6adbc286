"""The measuring commands run the whole way and their tables say what they should of random and of true pictures."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_bundle_for_texts

from adiff_jax.app.cli import main
from adiff_jax.app.evaluation.contenders import CONTENDERS, NAMES
from adiff_jax.app.evaluation.extras import Extras
from adiff_jax.app.evaluation.reenactment import paired, persons_shown, video_names
from adiff_jax.app.evaluation.store import Store
from adiff_jax.app.evaluation.texts import people_with_hair
from adiff_jax.app.options import SamplingOptions
from adiff_jax.app.pipeline import AnchoredDiffusionPipeline
from adiff_jax.data.synthetic.people import sample_person
from adiff_jax.media.pictures import read_picture


@pytest.fixture(scope="module")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    tiny_bundle_for_texts(folder).save(folder / "tiny")
    return folder / "tiny"


@pytest.mark.usefixtures("shared")
def test_evaluate_reenact(bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["evaluate", "reenact", "--bundle", str(bundle_path), "--steps", "1", "--max-frames", "6", "--also", "csim"]
    assert main([*argv, "--driving", "synthetic:1", "synthetic:2", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "**landmark error**" in printed, "definitions are printed"
    content = json.loads((tmp_path / "reenactment.json").read_text())
    assert (tmp_path / "reenactment.md").read_text().strip() in printed
    for driver in ("synthetic-1", "synthetic-2"):
        for suffix in (".mp4", ".png", ".side_by_side.mp4", ".contact_sheet.png"):
            assert (tmp_path / (driver + suffix)).is_file()
    rows = content["rows"]
    truth = rows["synthetic-1, 6 frames: true picture"]
    assert truth["face found"] == 1
    assert truth["landmark error"] < 0.15  # at 32 x 32 pixels MediaPipe sees little
    assert rows["synthetic-1, 6 frames: generated"]["face found"] == 0, "random weights draw no face"
    assert rows["synthetic-1, 6 frames: generated"]["landmark error"] is None
    assert truth["L1"] == 0
    assert truth["CSIM"] == pytest.approx(1)
    assert rows["synthetic-1, 6 frames: generated"]["CSIM"] < 0.9
    mean = (truth["APD"] + rows["synthetic-2, 6 frames: true picture"]["APD"]) / 2
    assert math.isclose(rows["mean: true picture"]["APD"], mean)


@pytest.mark.parametrize("source", ["self", "talk.mp4"])
def test_real_faces_are_measured_with_consent(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    Path("talk.mp4").write_bytes(b"a face")
    argv = ["evaluate", "reenact", "--bundle", "nowhere", "--source", source, "--driving", "synthetic:1", "talk.mp4"]
    assert main([*argv, "--out", "out"]) == 2
    assert "talk.mp4 shows a real face" in capsys.readouterr().err
    assert main([*argv, "--out", "out", "--i-have-consent"]) == 2
    assert "no bundle at nowhere" in capsys.readouterr().err
    assert not Path("out").exists()


def test_drivers_of_one_name_have_files_of_their_own() -> None:
    drivers = ["a/talk.mp4", "b/talk.mp4", "talk-2.mp4", "synthetic:7"]
    assert video_names(paired(["me.jpg"], drivers)) == [
        "talk",
        "talk-2",
        "talk-2-2",
        "synthetic-7",
    ]


def test_sources_and_drivers_are_paired_in_turn() -> None:
    assert paired(["me", "you", "them"], ["a", "b"]) == [("me", "a"), ("you", "b"), ("them", "a")]
    assert paired(["me"], ["a", "b"]) == [("me", "a"), ("me", "b")]
    assert paired(["self"], ["a", "b"]) == [("a", "a"), ("b", "b")]
    assert persons_shown(["self"], ["a.mp4", "synthetic:1"]) == ("a.mp4", "synthetic:1")
    assert persons_shown(["me.jpg"], ["a.mp4"]) == ("me.jpg",)
    with pytest.raises(ValueError, match="at least one source"):
        paired(["me"], [])
    with pytest.raises(ValueError, match="give it alone"):
        paired(["self", "me"], ["a"])


@pytest.mark.usefixtures("shared")
def test_evaluate_autoencoder(bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["evaluate", "autoencoder", "--bundle", str(bundle_path), "--clips", "2", "--frames", "3"]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    assert "**SSIM**" in capsys.readouterr().out
    rows = json.loads((tmp_path / "autoencoder.json").read_text())["rows"]
    assert rows["true picture"]["SSIM"] == pytest.approx(1)
    assert rows["true picture"]["PSNR"] is None  # infinite
    assert rows["autoencoder"]["PSNR"] < 20


def consistency(bundle_path: Path, out: Path, *more: str) -> int:
    argv = ["evaluate", "consistency", "--bundle", str(bundle_path), "--steps", "2", "--no-landmarks"]
    argv += ["--lengths", "5", "7", "--methods", "shifted", "multidiffusion", "--sheets", "1"]
    return main([*argv, "--identities", "2", "--out", str(out), *more])


def test_evaluate_consistency_and_go_on(
    bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert consistency(bundle_path, tmp_path) == 0
    printed = capsys.readouterr().out
    assert "**Self-CSIM**" in printed, "definitions are printed"
    assert (tmp_path / "consistency.md").read_text().strip() in printed
    rows = json.loads((tmp_path / "consistency.json").read_text())["rows"]
    assert len(rows) == 2 * 3
    intervals = json.loads((tmp_path / "intervals.json").read_text())["rows"]
    for length in (5, 7):
        row = intervals[f"{length} frames: {NAMES['shifted']}"]
        assert row["Self-CSIM low"] <= row["Self-CSIM"] <= row["Self-CSIM high"]
        rival = intervals[f"{length} frames: {NAMES['multidiffusion']}"]
        assert row["Self-CSIM gap"] == pytest.approx(rival["Self-CSIM"] - row["Self-CSIM"])
        assert "Self-CSIM gap" not in rival
        ceiling = rows[f"{length} frames: autoencoder of the driving clip"]
        assert ceiling["identity pairwise"] >= 0
    for plot in ("consistency.png", "distance.png", "contact_sheet.png"):
        assert np.ptp(read_picture(tmp_path / plot)) > 100
    assert read_picture(tmp_path / "contact_sheet.png").shape == (3 * 32 + 2 * 4, 8 * 32, 3), "seven frames and a name"

    # A second run makes what is missing and nothing else, to the same numbers.
    lost = tmp_path / "videos" / "multidiffusion-7-700001.json"
    before = json.loads(lost.read_text())["scores"]
    lost.unlink()
    calls = []
    reenact = AnchoredDiffusionPipeline.reenact
    monkeypatch.setattr(
        AnchoredDiffusionPipeline, "reenact", lambda *args, **options: calls.append(1) or reenact(*args, **options)
    )
    assert consistency(bundle_path, tmp_path) == 0
    assert len(calls) == 2, "the person's own motion, and the missing video"
    after = json.loads(lost.read_text())["scores"]
    assert {**after, "seconds a frame": 0} == {**before, "seconds a frame": 0}
    # Numbers of other settings are not mixed in.
    assert consistency(bundle_path, tmp_path, "--eta", "0.5") == 2
    assert "another options: choose another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lengths", "1"), "2 or more"),
        (("--methods", "magic"), "unknown method magic: choose from pinned, shifted"),
        (("--identities", "0"), "identities must be at least 1"),
    ],
)
def test_consistency_refuses(
    bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture, arguments: tuple[str, ...], message: str
) -> None:
    assert consistency(bundle_path, tmp_path, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_contenders_are_options_of_sampling() -> None:
    assert CONTENDERS.keys() == NAMES.keys()
    pinned = {name for name, contender in CONTENDERS.items() if contender.get("pin_source")}
    assert pinned == {"pinned"}
    for contender in CONTENDERS.values():
        SamplingOptions(**{name: value for name, value in contender.items() if name != "pin_source"})


def test_store_keeps_what_is_not_a_number(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "b", {"steps": (1, 2)})
    store.put("video", {"score": float("nan")})
    assert math.isnan(Store(tmp_path / "a" / "b", {"steps": (1, 2)}).get("video")["score"])
    assert store.get("other") is None


def test_missing_networks_are_an_error_before_the_work(
    bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    argv = [
        "evaluate",
        "reenact",
        "--bundle",
        str(bundle_path),
        "--driving",
        "synthetic:1",
        "--networks",
        str(tmp_path),
    ]
    assert main([*argv, "--also", "lpips", "--out", str(tmp_path / "out")]) == 2
    assert "alexnet-owt-7be5be79.pth is missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_distances_of_sets_of_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    extras = Extras(("fid", "fvd"))
    monkeypatch.setitem(extras.__dict__, "_inception", lambda pictures: pictures.mean(axis=(1, 2)))
    monkeypatch.setitem(extras.__dict__, "_i3d", lambda cut: cut.mean(axis=(2, 3, 4))[:, :4])
    videos = np.random.default_rng(0).integers(0, 200, (2, 20, 4, 4, 3), dtype=np.uint8)
    scores = extras.of_videos(list(videos), list(videos + np.uint8(10)))
    assert scores["FID"] == pytest.approx(3 * 10**2, rel=1e-6)
    assert scores["FVD"] == pytest.approx(4 * 10**2, rel=1e-6)
    assert math.isnan(extras.of_videos([videos[0]], [videos[0]])["FVD"]), "one piece has no covariance"


def test_evaluate_identity(bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["evaluate", "identity", "--bundle", str(bundle_path), "--people", "3", "--pictures", "2"]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    assert "**verification**" in capsys.readouterr().out
    rows = json.loads((tmp_path / "identity.json").read_text())["rows"]
    assert rows["true pictures"]["verification"] > 0.9


def test_evaluate_text(bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["evaluate", "text", "--bundle", str(bundle_path), "--steps", "1", "--identities", "3", "--max-frames", "3"]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    assert "**hair**" in capsys.readouterr().out
    rows = json.loads((tmp_path / "text.json").read_text())["rows"]
    assert list(rows) == ["generated from the text", "true picture", "generated, against another text"]
    assert all(0 <= value <= 1 for row in rows.values() for value in row.values() if value is not None)


@pytest.mark.usefixtures("shared")
def test_evaluate_edit(bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["evaluate", "edit", "--bundle", str(bundle_path), "--steps", "2", "--identities", "2", "--max-frames", "3"]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    assert "**hair as asked**" in capsys.readouterr().out
    rows = json.loads((tmp_path / "edit.json").read_text())["rows"]
    assert 0 <= rows["edited"]["hair as asked"] <= 1
    assert rows["edited"]["background"] > 0
    assert main([*argv, "--out", str(tmp_path), "--target", "green"]) == 2
    assert "unknown colour of hair 'green': choose one of black" in capsys.readouterr().err


def test_people_with_hair() -> None:
    persons = [sample_person(seed) for seed in people_with_hair("red", 3, 100)]
    assert all(person.hair.name == "red" and person.cut != "bald" and person.seed >= 100 for person in persons)
    assert len({person.seed for person in persons}) == 3
