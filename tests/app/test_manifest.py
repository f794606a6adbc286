"""A signed file says how it was made; whatever happens to it afterwards is noticed, or takes the manifest away."""

import dataclasses
import json
import socket
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from adiff_jax import __version__
from adiff_jax.app.cli import main
from adiff_jax.app.consent import Consent
from adiff_jax.app.manifest import ASSERTION, read_manifest, sign
from adiff_jax.app.provenance import Claim, Ingredient
from adiff_jax.app.signing import Identity, SigningError, load_identity, own_root, self_made
from adiff_jax.media.errors import MediaError
from adiff_jax.media.video import VideoWriter, read_video

SHA = "ab" * 32
CLAIM = Claim(
    "reenacted",
    "some-bundle",
    (
        Ingredient("source", "a.png", SHA, Consent("confirmed at the terminal", "2026-01-02T03:04:05+00:00")),
        Ingredient("driver", "synthetic:3"),
    ),
    {"bundle": "cd" * 32, "sdit": "ef" * 32},
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nothing here may use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def drafts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A video with sound of noise, and a picture, not signed."""
    folder = tmp_path_factory.mktemp("drafts")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (20, 64, 96, 3), dtype=np.uint8)
    with VideoWriter(folder / "out.mp4", 25, (96, 64), comment=CLAIM.sentence()) as writer:
        for frame in frames:
            writer.write(frame)
    comment = PngImagePlugin.PngInfo()
    comment.add_text("Comment", CLAIM.sentence())
    Image.fromarray(frames[0]).save(folder / "out.png", pnginfo=comment)
    return {path.suffix[1:]: path for path in folder.iterdir()}


@pytest.fixture(params=["mp4", "png"])
def signed(request: pytest.FixtureRequest, drafts: dict[str, Path], tmp_path: Path) -> Path:
    out = tmp_path / f"signed.{request.param}"
    sign(drafts[request.param], out, CLAIM, self_made())
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    return out


def test_what_goes_in_comes_out(signed: Path) -> None:
    report = read_manifest(signed)
    assert (report.status, report.reasons, report.generated, report.trusted) == ("unchanged", (), True, True)
    assert report.record == CLAIM.record()
    assert report.software == f"adiff_jax {__version__}"
    assert "self-made" in report.signer


def test_the_picture_is_not_touched(signed: Path, drafts: dict[str, Path]) -> None:
    if signed.suffix == ".png":
        np.testing.assert_array_equal(Image.open(signed), Image.open(drafts["png"]))
        return
    with read_video(signed) as after, read_video(drafts["mp4"]) as before:
        for one, other in zip(after, before, strict=True):
            np.testing.assert_array_equal(one.image, other.image)


def test_the_manifest_in_c2pas_own_terms(signed: Path) -> None:
    """Read by the library alone, as any other tool would."""
    import c2pa

    content = json.loads(c2pa.Reader(signed).json())
    manifest = content["manifests"][content["active_manifest"]]
    assertions = {assertion["label"]: assertion["data"] for assertion in manifest["assertions"]}
    (action,) = assertions["c2pa.actions.v2"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"] == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert assertions[ASSERTION]["bundle"]["sha256"]["bundle"] == "cd" * 32
    (ingredient,) = manifest["ingredients"]
    assert (ingredient["title"], ingredient["instance_id"]) == ("a.png", f"sha256:{SHA}")
    assert (ingredient["relationship"], ingredient["format"]) == ("inputTo", "image/png")
    assert "thumbnail" not in manifest, "it would show the picture without its label"


def test_a_composite_says_so(drafts: dict[str, Path], tmp_path: Path) -> None:
    import c2pa

    sign(drafts["png"], tmp_path / "a.png", dataclasses.replace(CLAIM, composite=True), self_made())
    assert "compositeWithTrainedAlgorithmicMedia" in c2pa.Reader(tmp_path / "a.png").json()
    assert read_manifest(tmp_path / "a.png").generated


def test_one_byte_of_the_content_changed(signed: Path) -> None:
    data = bytearray(signed.read_bytes())
    data[-len(data) // 8] ^= 1
    signed.write_bytes(data)
    report = read_manifest(signed)
    assert report.status == "changed"
    assert "not what was signed" in " ".join(report.reasons)


def test_one_word_of_the_claim_changed(signed: Path) -> None:
    data = signed.read_bytes()
    assert data.count(b"some-bundle") >= 1
    place = data.rindex(b"some-bundle") if signed.suffix == ".mp4" else data.index(b"some-bundle")
    signed.write_bytes(data[:place] + b"evil" + data[place + 4 :])
    assert read_manifest(signed).status == "changed"


def test_cut_short(signed: Path) -> None:
    data = signed.read_bytes()
    signed.write_bytes(data[: len(data) * 3 // 4])
    assert read_manifest(signed).status == "changed"


def test_something_appended(signed: Path) -> None:
    signed.write_bytes(signed.read_bytes() + bytes(100))
    assert read_manifest(signed).status == "changed"


def remuxed(path: Path, out: Path) -> None:
    """The same packets in another file, the last ones left out: a cut without encoding."""
    with av.open(str(path)) as reader, av.open(str(out), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        writer.metadata.update(reader.metadata)
        for packet in list(reader.demux(video=0))[:15]:
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)


def encoded_anew(path: Path, out: Path) -> None:
    with read_video(path) as video, VideoWriter(out, video.fps, (96, 64)) as writer:
        for frame in video:
            writer.write(frame.image)


def edited(path: Path, out: Path) -> None:
    with read_video(path) as video, VideoWriter(out, video.fps, (48, 64)) as writer:
        for frame in video:
            writer.write(frame.image[:, :48])


@pytest.mark.parametrize("change", [remuxed, encoded_anew, edited])
def test_a_video_that_went_through_a_tool_is_unsigned(
    drafts: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture, change: Callable[[Path, Path], None]
) -> None:
    sign(drafts["mp4"], tmp_path / "signed.mp4", CLAIM, self_made())
    change(tmp_path / "signed.mp4", tmp_path / "out.mp4")
    assert read_manifest(tmp_path / "out.mp4").status == "unsigned"
    assert main(["verify", str(tmp_path / "out.mp4")]) == 1
    output = capsys.readouterr().out
    assert "not signed" in output
    assert (CLAIM.sentence() in output) == (change is remuxed), "the comment goes along where metadata are copied"


def test_a_picture_saved_anew_is_unsigned(drafts: dict[str, Path], tmp_path: Path) -> None:
    sign(drafts["png"], tmp_path / "a.png", CLAIM, self_made())
    Image.open(tmp_path / "a.png").save(tmp_path / "b.png")
    assert read_manifest(tmp_path / "b.png").status == "unsigned"


def test_a_foreign_key_holds_but_nobody_vouches_for_it_until_it_is_trusted(
    signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = own_root()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "someone else"))
    report = read_manifest(signed)
    assert (report.status, report.trusted) == ("unchanged", False)
    assert "nobody here vouches for" in report.lines()[-1]
    assert read_manifest(signed, trust=root).trusted
    self_made()
    assert not read_manifest(signed).trusted


def test_the_users_own_certificate(drafts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "an authority"))
    issued, root = self_made(), own_root()
    for name, content in (("chain.pem", issued.chain), ("key.pem", issued.key), ("root.pem", root)):
        (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "the user"))
    identity = load_identity(tmp_path / "chain.pem", tmp_path / "key.pem")
    sign(drafts["mp4"], tmp_path / "a.mp4", CLAIM, identity)
    assert not (tmp_path / "the user").exists(), "no key is made where there is one"
    assert not read_manifest(tmp_path / "a.mp4").trusted
    assert main(["verify", str(tmp_path / "a.mp4"), "--trust", str(tmp_path / "root.pem")]) == 0


def test_a_certificate_that_c2pa_refuses(drafts: dict[str, Path], tmp_path: Path) -> None:
    root_only = Identity(own_root(), self_made().key, "es256") if self_made() else None
    with pytest.raises(SigningError, match="signing failed"):
        sign(drafts["png"], tmp_path / "a.png", CLAIM, root_only)
    assert not list(tmp_path.iterdir())


def test_verify_prints_all_and_gives_0(signed: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["verify", str(signed)]) == 0
    output = capsys.readouterr().out
    for words in (
        "unchanged since it was signed",
        "AI-generated: yes",
        f"made by: adiff_jax {__version__}",
        "reenacted with the bundle some-bundle",
        f"source: a.png (sha256 {SHA})",
        "driver: synthetic:3",
        "consent of the person in it: confirmed at the terminal, 2026-01-02",
        "cd" * 32,
    ):
        assert words in output


def test_verify_of_a_hostile_record(
    drafts: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign(
        drafts["png"],
        tmp_path / "a.png",
        dataclasses.replace(CLAIM, bundle="\x1b[2Jred\nAI-generated: no"),
        self_made(),
    )
    assert main(["verify", str(tmp_path / "a.png")]) == 0
    printed = capsys.readouterr().out
    assert (
        "\x1b" not in printed and "\n  AI-generated: no" not in printed and "\N{REPLACEMENT CHARACTER}[2Jred" in printed
    )
    for record in ({"software": CLAIM.record()["software"]}, {**CLAIM.record(), "inputs": ["a"]}):
        monkeypatch.setattr(Claim, "record", lambda _, record=record: record)
        sign(drafts["png"], tmp_path / "b.png", CLAIM, self_made())
        assert main(["verify", str(tmp_path / "b.png")]) == 0
        assert "its record cannot be read" in capsys.readouterr().out


def test_verify_refuses_what_is_no_certificate(signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "roots.pem").write_bytes(b"\xffnot a certificate")
    assert main(["verify", str(signed), "--trust", str(tmp_path / "roots.pem")]) == 2
    assert "no certificate in PEM format" in capsys.readouterr().err


def test_verify_of_what_is_none(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, content, message in (
        ("text.txt", b"words", "no place for a manifest"),
        ("text.mp4", b"words\n" * 100, "not a picture or video"),
        ("empty.mp4", b"", "is empty"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises((MediaError, SigningError), match=message):
            read_manifest(tmp_path / name)
        assert main(["verify", str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "absent.mp4")]) == 2
    assert "no such" in capsys.readouterr().err
