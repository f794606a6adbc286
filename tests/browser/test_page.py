"""The web page in a real browser: what is said, and what it must refuse, at little cost and leaving nothing."""

import re
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from browser.conftest import MAX_UPLOAD_MB, Server

pytestmark = pytest.mark.slow
expect = pytest.importorskip("playwright.sync_api", reason="the browser tests need the package playwright").expect

PATIENCE = 240_000  # milliseconds; a busy machine compiles slowly
MEMORY = 600e6  # bytes that refusing a file may take, on top of what the server has: the process that reads it


def example(page, row: int) -> None:
    page.locator("#examples tbody tr").nth(row).click()
    page.wait_for_function("document.querySelector('#clip video')")


def attach(page, widget: str, path: Path) -> None:
    page.locator(f"#{widget} input[type=file]").set_input_files(str(path))


def said(page, text: str | re.Pattern, timeout: float = PATIENCE) -> None:
    expect(page.locator("#status")).to_contain_text(text, timeout=timeout)


def no_files_are_left(server: Server) -> None:
    for _ in range(600):
        if not server.files():
            return
        time.sleep(0.1)
    raise AssertionError(server.files())


def test_what_is_missing_is_said(page) -> None:
    page.locator("#run").click()
    said(page, "Add a picture of the person.")
    expect(page.locator("#status [role=alert]")).to_be_visible()
    expect(page.locator("#run")).to_be_enabled()


def refused(page, server: Server, widget: str, path: Path, message: str | re.Pattern) -> None:
    """Sends a file; it must be refused with a message, at little cost, and leave nothing."""
    before = server.memory()
    example(page, 0)
    page.locator(f"#{widget}").get_by_label("Clear").or_(page.locator(f"#{widget} button[title=Clear]")).first.click()
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


def test_a_text_named_mp4_is_refused(page, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("to buy: bread\n" * 50)
    refused(page, server, "clip", path, "notes.mp4: not a video")


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


def test_two_gigabytes_are_refused_before_they_are_sent(server: Server) -> None:
    before = server.memory()
    assert post(server, "x.mp4", b"", announced=2 * 10**9) == 413
    assert post(server, "x.mp4", b"", announced=MAX_UPLOAD_MB * 10**6 + 200_000) == 413
    assert server.memory() - before < 50e6
    assert server.files() == []


def test_a_name_with_folders_stays_in_its_folder(server: Server) -> None:
    before = set(server.folder.parent.rglob("*"))
    assert post(server, "../../../../../escape.mp4", b"x") in (200, 400)
    new = set(server.folder.parent.rglob("*")) - before
    assert all("uploads" in path.relative_to(server.folder).parts for path in new if path.is_file())
    for path in server.files():  # of no session, which the server would sweep later
        path.unlink()
