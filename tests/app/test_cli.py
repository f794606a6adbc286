"""The command line: quick help, the promised options, one line for every mistake."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from adiff_jax import __version__
from adiff_jax.app import options
from adiff_jax.app.cli import main
from adiff_jax.app.commands.reenact import Reenact
from adiff_jax.app.options import SamplingOptions
from adiff_jax.sampling.anchored import Share
from adiff_jax.sampling.groups import Dealing
from adiff_jax.sampling.loop import Spacing


def test_choices_are_those_of_the_sampler() -> None:
    assert get_args(options.Dealing) == get_args(Dealing)
    assert get_args(options.Share) == get_args(Share)
    assert get_args(options.Spacing) == get_args(Spacing)


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from adiff_jax.app.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'jax', 'flax', 'numba', 'mediapipe', 'av', 'cv2', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
    for command in (
        "reenact",
        "animate",
        "edit",
        "demo",
        "verify",
        "prepare",
        "train",
        "evaluate",
        "import",
        "bundle",
        "info",
    ):
        assert command in result.stdout


def test_options_have_the_promised_names(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["reenact", "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    steps = ["steps", "eta", "plan", "anchor", "guidance-clip", "guidance-landmarks", "seed"]
    marking = ["no-label", "certificate", "key", "i-have-consent"]
    for option in ["source", "driving", "out", *steps, "face", "max-frames", *marking]:
        assert f"--{option} " in text


def test_the_version_is_told(capsys: pytest.CaptureFixture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"adiff {__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [
        ["reenact", "-s", "synthetic:1", "-d", "synthetic:2", "-o", "out.mp4"],
        ["demo", "-s", "synthetic:1", "-d", "synthetic:2", "-o", "out.mp4"],
        ["animate", "--text", "red hair", "-d", "synthetic:2", "-o", "out.mp4"],
        ["edit", "synthetic:2", "--text", "red hair", "-o", "out.mp4"],
    ],
)
def test_frequent_options_are_short(argv: list[str], capsys: pytest.CaptureFixture) -> None:
    assert "no bundle at nowhere" in error_of([*argv, "--bundle", "nowhere"], capsys)


@pytest.mark.parametrize(
    ("command", "unused"),
    [
        ("consistency", ["--method", "--plan", "--anchor", "--overlap", "--seed"]),
        ("text", ["--seed", "--face", "--no-smooth"]),
        ("edit", ["--seed", "--face", "--no-smooth"]),
    ],
)
def test_options_without_effect_are_none(command: str, unused: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", command, "--help"])
    text = capsys.readouterr().out
    assert "--steps " in text
    for option in unused:
        assert f"{option} " not in text


def error_of(argv: list[str], capsys: pytest.CaptureFixture) -> str:
    assert main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("adiff: error: ")
    return line


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("folder.mp4", "is a folder"),
        ("missing/out.mp4", "does not exist"),
        ("out.avi", "a name that ends in .mp4"),
    ],
)
def test_a_bad_output_is_refused_before_anything_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture, out: str, message: str
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    argv = ["demo", "--bundle", "nowhere", "--out", str(tmp_path / out)]
    assert message in error_of(argv, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.mp4"]


@pytest.mark.parametrize(
    "argv",
    [
        ["edit", "talk.mp4", "--text", "red hair", "--out", "talk.mp4"],
        ["edit", "talk.contact_sheet.png", "--text", "red hair", "--out", "talk.mp4"],
        ["animate", "--text", "red hair", "--driving", "talk.mp4", "--out", "link.mp4"],
        ["demo", "--source", "talk.mp4", "--out", "talk.mp4"],
        ["demo", "--driving", "talk.mp4", "--out", "../here/talk.mp4"],
        ["demo", "--then", "synthetic:1", "talk.mp4", "--out", "talk.mp4"],
        ["demo", "--driving", "talk.safetensors", "--save-motion", "talk.safetensors", "--out", "out.mp4"],
    ],
)
def test_no_output_replaces_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, argv: list[str]
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("talk.mp4", "talk.contact_sheet.png", "talk.safetensors"):
        Path(name).write_text("kept")
    Path("link.mp4").symlink_to("talk.mp4")
    assert "would replace an input" in error_of([*argv, "--bundle", "nowhere"], capsys)
    assert {path.read_text() for path in folder.iterdir()} == {"kept"}


def test_an_absent_bundle_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["demo", "--bundle", "nowhere", "--out", str(tmp_path / "out.mp4")]
    assert "no bundle at nowhere" in error_of(argv, capsys)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no bundle at nowhere"):
        main(["demo", "--bundle", "nowhere", "--out", str(tmp_path / "out.mp4"), "--debug"])


@pytest.mark.parametrize("argv", [["reenact"], ["nothing"], ["demo", "--plan", "zigzag"], ["demo", "--steps", "few"]])
def test_a_wrong_command_line_exits_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["evaluate", "text", "--identities", "0"], "identities must be at least 1, not 0"),
        (["evaluate", "edit", "--identities", "0"], "identities must be at least 1, not 0"),
        (["evaluate", "autoencoder", "--clips", "0"], "clips must be at least 1, not 0"),
        (["evaluate", "identity", "--people", "0"], "people must be at least 1, not 0"),
        (["evaluate", "reader", "--people", "0"], "people must be at least 1, not 0"),
    ],
)
def test_nobody_to_measure_is_an_error(
    argv: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert message in error_of([*argv, "--out", str(tmp_path)], capsys)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_is_32_bits(seed: int) -> None:
    with pytest.raises(ValueError, match="seed must be within 0 and 4294967295"):
        SamplingOptions(seed=seed)


def test_a_port_has_16_bits(capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("gradio")
    assert "port must be within 0 and 65535, not 99999" in error_of(["serve", "--port", "99999"], capsys)


def test_drivers_that_follow_are_as_long_as_asked(tmp_path: Path) -> None:
    class Recorder:
        def reenact(self, *_: object, **options: object) -> None:
            assert options["max_frames"] == 5

        def extend(self, _: None, driving: str, **options: object) -> None:
            calls.append((driving, options["max_frames"]))

    calls: list[tuple[str, int]] = []
    command = Reenact(source="a.png", driving="b.mp4", then=("c.mp4",), out=tmp_path / "out.mp4", max_frames=5)
    command._reenact(Recorder(), **command.options(), workdir=None, resume=False, progress=None)
    assert calls == [("c.mp4", 5)]
