"""The web page in a real browser: upload, run, cancel, errors, download, and what it must refuse."""

import re
import struct
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import pytest
from browser.conftest import MAX_UPLOAD_MB, Server

from adiff_jax.app.web.limits import MB
from adiff_jax.media.pictures import read_picture, write_picture
from adiff_jax.media.video import VideoWriter, read_video

pytestmark = pytest.mark.slow
expect = pytest.importorskip("playwright.sync_api", reason="the browser tests need the package playwright").expect

PATIENCE = 240_000  # milliseconds; a busy machine compiles slowly
MEMORY = 600e6  # bytes that refusing a file may take, on top of what the server has: the process that reads it


def example(page, row: int) -> None:
    page.locator("#examples tbody tr").nth(row).click()
    page.wait_for_function("document.querySelector('#clip video')")


def options(page, frames: int, steps: int) -> None:
    for name, value in (("frames", frames), ("steps", steps)):
        field = page.locator(f"#{name} input[type=number]")
        field.fill(str(value))
        field.press("Tab")


def attach(page, widget: str, path: Path) -> None:
    page.locator(f"#{widget} input[type=file]").set_input_files(str(path))


def clear(page, widget: str) -> None:
    page.locator(f"#{widget}").get_by_label(re.compile("^(Clear|Remove Image)$")).first.click()


def said(page, text: str | re.Pattern, timeout: float = PATIENCE) -> None:
    expect(page.locator("#status")).to_contain_text(text, timeout=timeout)


def no_files_are_left(server: Server) -> None:
    for _ in range(600):
        if not server.files():
            return
        time.sleep(0.1)
    raise AssertionError(server.files())


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG of that size, whose pixels never come."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")


def test_an_example_runs_to_a_download_and_leaves_nothing(page, server: Server, tmp_path: Path) -> None:
    example(page, 0)
    options(page, frames=8, steps=20)
    page.locator("#run").click()
    expect(page.locator("#cancel")).to_be_enabled()
    expect(page.locator("#preview img")).to_be_visible(timeout=PATIENCE)
    said(page, "Done.")
    expect(page.locator("#result video")).to_be_visible()
    expect(page.locator("#beside video")).to_be_visible()
    expect(page.locator("#sheet img")).to_be_visible()
    expect(page.locator("#run")).to_be_enabled()
    with page.expect_download() as download:
        page.locator("#download").click()
    download.value.save_as(tmp_path / "result.mp4")
    with read_video(tmp_path / "result.mp4") as video:
        assert len(list(video)) == 8
    assert server.files()
    page.close()
    no_files_are_left(server)


def test_a_text_and_an_edit(page) -> None:
    for row, action in ((2, "Animate a text"), (3, "Edit a video")):
        example(page, row)
        expect(page.get_by_label(action)).to_be_checked()
        expect(page.locator("#text textarea")).not_to_have_value("")
        options(page, frames=3, steps=4)
        page.locator("#run").click()
        said(page, "Done.")


def test_a_job_can_be_cancelled_and_another_started(page) -> None:
    example(page, 0)
    options(page, frames=40, steps=100)
    page.locator("#run").click()
    said(page, re.compile("Looking|Drafting|Sampling"))
    page.locator("#cancel").click()
    said(page, "Cancelled.", timeout=PATIENCE)
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#result video")).to_have_count(0)
    options(page, frames=3, steps=4)
    page.locator("#run").click()
    said(page, "Done.")


def test_closing_the_page_ends_its_job(page, server: Server) -> None:
    example(page, 0)
    options(page, frames=40, steps=100)
    page.locator("#run").click()
    said(page, re.compile("Looking|Drafting|Sampling"))
    page.close()
    no_files_are_left(server)


def test_what_is_missing_is_said(page) -> None:
    page.locator("#run").click()
    said(page, "Add a picture of the person.")
    expect(page.locator("#status [role=alert]")).to_be_visible()
    expect(page.locator("#run")).to_be_enabled()


def test_an_upload_without_consent_then_without_a_face(page, server: Server, tmp_path: Path) -> None:
    write_picture(tmp_path / "wall.png", np.full((64, 64, 3), 128, np.uint8))
    example(page, 0)
    clear(page, "picture")
    attach(page, "picture", tmp_path / "wall.png")
    page.wait_for_function("document.querySelector('#picture img')?.src.includes('wall')")
    page.locator("#run").click()
    said(page, "Confirm that the person agreed")
    page.locator("#consent input").check()
    page.locator("#run").click()
    said(page, re.compile("no face found|landmark"))
    page.close()
    no_files_are_left(server)


def test_a_picture_from_the_webcam_reaches_the_server(page, server: Server) -> None:
    example(page, 0)
    clear(page, "picture")
    picture = page.locator("#picture")
    picture.get_by_role("button", name="Capture from camera").click()
    picture.get_by_role("button", name="Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('#picture video')?.currentTime > 0.2")  # else there is no frame yet
    with page.expect_response(lambda response: "/upload?" in response.url) as upload:
        picture.get_by_role("button", name="capture photo").click()
    assert upload.value.ok
    picture.locator("img").wait_for()
    (file,) = server.files()
    assert read_picture(file).std() > 10, "the camera's test picture is not of one colour"
    page.locator("#consent input").check()
    page.locator("#run").click()
    said(page, re.compile("no face found|landmark"))


def test_options_of_motion_reach_the_pipeline(page) -> None:
    example(page, 0)
    page.get_by_role("button", name="More options").click()
    page.locator("#region").get_by_label("Expression").check()
    page.get_by_label("Put the face back").check()
    options(page, frames=3, steps=4)
    page.locator("#run").click()
    said(page, "nothing to paste back into")


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """A video of one black frame of 100 megapixels, in a file of a few kilobytes."""
    path = tmp_path / "bomb.mp4"
    with VideoWriter(path, 1, (10_000, 10_000)) as video:
        video.write(np.zeros((10_000, 10_000, 3), np.uint8))
    assert path.stat().st_size < 500_000
    return path


def refused(page, server: Server, widget: str, path: Path, message: str | re.Pattern) -> None:
    """Sends a file; it must be refused with a message, at little cost, and leave nothing."""
    before = server.memory()
    example(page, 0)
    clear(page, widget)
    with page.expect_response(lambda response: "/upload?" in response.url):
        attach(page, widget, path)
    page.locator("#consent input").check()
    page.wait_for_timeout(500)
    page.locator("#run").click()
    most = before
    for _ in range(1200):
        most = max(most, server.memory())
        if re.search(message, page.locator("#status").inner_text()):
            break
        time.sleep(0.1)
    said(page, re.compile(message), timeout=1000)
    assert most - before < MEMORY
    page.close()
    no_files_are_left(server)


def test_a_zip_bomb_of_a_video_is_refused(page, server: Server, bomb: Path) -> None:
    refused(page, server, "clip", bomb, "10000x10000|megapixels")


def test_a_text_named_mp4_is_refused(page, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("to buy: bread\n" * 50)
    refused(page, server, "clip", path, "notes.mp4: not a video")


def test_a_picture_of_900_megapixels_is_refused(page, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(30_000, 30_000))
    refused(page, server, "picture", path, "huge.png: .*megapixels")


def post(server: Server, name: str, content: bytes, announced: int | None = None) -> int:
    """Status of an upload that no browser made."""
    boundary = b"limit"
    head = b'--limit\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n' % name.encode()
    body = head + content + b"\r\n--" + boundary + b"--\r\n"
    request = urllib.request.Request(f"{server.address}gradio_api/upload", data=body, method="POST")
    request.add_header("Content-Type", "multipart/form-data; boundary=limit")
    if announced:
        request.add_header("Content-Length", str(announced))
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_file_over_the_limit_is_not_sent_and_the_limit_is_said(page, server: Server, tmp_path: Path) -> None:
    expect(page.locator("#limits")).to_contain_text(f"{MAX_UPLOAD_MB} MB")
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    for widget, name in (("clip", "large.mp4"), ("picture", "large.png")):
        with (tmp_path / name).open("wb") as file:
            file.truncate(MAX_UPLOAD_MB * MB + 1)
        attach(page, widget, tmp_path / name)
        message = page.get_by_text(re.compile(f"maximum allowed size of {MAX_UPLOAD_MB}.*{name}"))
        expect(message.first).to_be_visible()
    assert not any("/upload?" in url for url in sent)
    assert server.files() == []


def test_two_gigabytes_are_refused_before_they_are_sent(server: Server) -> None:
    before = server.memory()
    assert post(server, "x.mp4", b"", announced=2 * 10**9) == 413
    assert post(server, "x.mp4", b"", announced=MAX_UPLOAD_MB * MB + 200_000) == 413
    assert server.memory() - before < 50e6
    assert server.files() == []


def test_a_name_with_folders_stays_in_its_folder(server: Server) -> None:
    before = set(server.folder.parent.rglob("*"))
    assert post(server, "../../../../../escape.mp4", b"x") in (200, 400)
    new = set(server.folder.parent.rglob("*")) - before
    assert all("uploads" in path.relative_to(server.folder).parts for path in new if path.is_file())
    for path in server.files():  # of no session, which the server would sweep later
        path.unlink()
