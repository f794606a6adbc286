"""The web page's files: read in a limited process, kept for a session, gone after it; too large bodies turned away."""

import asyncio
import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from adiff_jax.app.web.guard import ENVELOPE, Guard
from adiff_jax.app.web.limits import PageLimits
from adiff_jax.app.web.rehearsal import Inspected, rehearse
from adiff_jax.app.web.sessions import PREFIX, UNUSED, Sessions
from adiff_jax.media.errors import MediaError
from adiff_jax.media.pictures import write_picture
from adiff_jax.media.video import VideoWriter

LIMITS = PageLimits(max_upload_mb=1, max_seconds=1)


def gif_header(width: int, height: int) -> bytes:
    """A GIF of one row of one pixel on a canvas of the given size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff\xff\xff"
    picture = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00"
    return screen + picture + b";"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path, 10, (48, 32)) as video:
        for shade in range(20):
            video.write(np.full((32, 48, 3), 12 * shade, np.uint8))
    return path


def test_honest_files_are_read(clip: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "p.png", np.zeros((20, 30, 3), np.uint8))
    assert rehearse(tmp_path / "p.png", "picture", LIMITS.media) == Inspected(30, 20, 1)
    assert rehearse(clip, "video", PageLimits().media) == Inspected(48, 32, 20)


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"this is a text\n" * 100, "video", "not a video"),
        (b"this is a text\n" * 100, "picture", "not a picture"),
        (gif_header(65_000, 65_000), "video", "x.mp4"),
        (gif_header(30_000, 30_000), "picture", "megapixels"),
        (b"", "video", "empty"),
        (bytes(1_100_000), "video", "1 MB is the most"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "video", "not a video"),
    ],
    ids=["text", "text as picture", "zip bomb", "huge picture", "empty", "large", "list of files"],
)
def test_dishonest_files_are_refused_by_name_alone(tmp_path: Path, content: bytes, kind: str, message: str) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError) as error:
        rehearse(path, kind, LIMITS.media)
    assert message in str(error.value)
    assert str(tmp_path) not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["x.mp4"]


def test_a_long_video_is_refused(clip: Path) -> None:
    with pytest.raises(MediaError, match="longer than"):
        rehearse(clip, "video", LIMITS.media)


def test_a_reader_that_dies_is_an_answer_too(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adiff_jax.app.web.rehearsal.sys.executable", "/bin/false")
    with pytest.raises(MediaError, match=r"clip.mp4: this video cannot be read"):
        rehearse(clip, "video", LIMITS.media)


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    with Sessions(tmp_path) as opened:
        yield opened


def upload(sessions: Sessions, name: str) -> Path:
    path = sessions.uploads / f"digest-{name}" / name
    path.parent.mkdir()
    path.write_bytes(b"x" * 100)
    return path


def test_a_closed_session_leaves_nothing_but_what_others_sent_too(sessions: Sessions) -> None:
    own, common = upload(sessions, "own"), upload(sessions, "common")
    for name, path in (("a", own), ("a", common), ("b", common)):
        sessions.claim(name, path)
    (sessions["a"].folder / "result.mp4").touch()
    folder = sessions["a"].folder
    sessions.close("a")
    assert not own.parent.exists() and not folder.exists() and common.exists()
    sessions.close("b")
    assert list(sessions.uploads.iterdir()) == [] and list(sessions.results.iterdir()) == []
    assert sessions.stored() == 0


def test_closing_cancels_the_job(sessions: Sessions) -> None:
    job = sessions["a"].job = threading.Event()
    sessions.close("a")
    assert job.is_set()


def test_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    with Sessions(tmp_path) as sessions:
        sessions.claim("a", upload(sessions, "file"))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_is_removed_and_no_more(tmp_path: Path) -> None:
    dead = tmp_path / f"{PREFIX}{2**22 + 1}-abc"  # over the largest number of a process
    alive = tmp_path / f"{PREFIX}{os.getppid()}-abc"
    other = tmp_path / "other"
    for folder in (dead, alive, other):
        folder.mkdir()
    with Sessions(tmp_path):
        assert not dead.exists() and alive.exists() and other.exists()


def test_only_uploads_and_examples_are_files_of_the_page(sessions: Sessions, tmp_path: Path) -> None:
    path = upload(sessions, "file")
    assert sessions.file({"path": str(path)}) == str(path.resolve())
    assert sessions.file(None) is None
    (tmp_path / "secret").touch()
    (sessions.uploads / "link").symlink_to(tmp_path / "secret")
    for name in ("/etc/hostname", sessions.uploads / ".." / ".." / "secret", sessions.uploads / "link", "absent", None):
        with pytest.raises(ValueError, match="not here any more"):
            sessions.file({"path": name and str(name)})
    sessions.claim("a", "/etc/hostname")
    assert sessions["a"].uploads == set()


def test_the_sweep_takes_what_nobody_claims(sessions: Sessions) -> None:
    claimed, left = upload(sessions, "claimed"), upload(sessions, "left")
    sessions.claim("a", claimed)
    sessions.sweep(age=60)
    assert left.exists()
    os.utime(left, (time.time() - 120,) * 2)
    os.utime(claimed, (time.time() - 120,) * 2)
    sessions.sweep(age=60)
    assert claimed.exists() and not left.parent.exists()


def test_the_sweep_closes_what_nobody_uses(sessions: Sessions) -> None:
    files = {name: upload(sessions, name) for name in ("left", "working", "used")}
    for name, path in files.items():
        sessions.claim(name, path)
    sessions["working"].job = threading.Event()
    for name in ("left", "working"):
        sessions[name].used -= UNUSED + 1
    sessions.sweep()
    assert not files["left"].parent.exists() and len(list(sessions.results.iterdir())) == len(sessions) == 2
    sessions["working"].job = None
    sessions.sweep()
    assert files["working"].exists(), "its hours begin when the job ends"


def ask(
    guard: Guard,
    sizes: list[int],
    announced: int | None = None,
    path: str = "/upload",
    kind: str = "multipart/form-data",
) -> int:
    """Status of a POST whose body comes in parts of these sizes."""
    parts = [{"type": "http.request", "body": bytes(size), "more_body": True} for size in sizes]
    parts.append({"type": "http.request", "body": b"", "more_body": False})
    sent = []

    async def receive() -> dict:
        return parts.pop(0)

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"content-type", f"{kind}; boundary=x".encode())]
    headers += [] if announced is None else [(b"content-length", str(announced).encode())]
    asyncio.run(guard({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send))
    return sent[0]["status"]


async def swallow(scope: dict, receive, send) -> None:
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})


def test_the_guard_turns_large_bodies_away(sessions: Sessions) -> None:
    guard = Guard(swallow, LIMITS, sessions)
    most = LIMITS.max_upload_bytes + ENVELOPE
    assert ask(guard, [1000], announced=1000) == 200
    assert ask(guard, [most]) == 200
    assert ask(guard, [], announced=2 * 10**9) == 413
    assert ask(guard, [most // 2, most // 2, 2]) == 413, "not announced"
    assert ask(guard, [most + 1], announced=10) == 413, "announced wrongly"
    assert ask(guard, [1000], path="/gradio_api/process_recording") == 404


def test_the_guard_keeps_room(sessions: Sessions) -> None:
    guard = Guard(swallow, PageLimits(max_stored_mb=1), sessions)
    upload(sessions, "large").write_bytes(bytes(900_000))
    assert ask(guard, [50_000], announced=50_000) == 200
    assert ask(guard, [200_000], announced=200_000) == 507
    assert ask(guard, [200_000], announced=200_000, kind="Multipart/Form-Data") == 507
    assert ask(guard, [50_000]) == 507, "not announced: as large as may be"
    assert ask(guard, [200_000], announced=200_000, kind="application/json") == 200, "stores nothing"


def test_limits_are_positive() -> None:
    with pytest.raises(ValueError, match="concurrency must be at least 1"):
        PageLimits(concurrency=0)
