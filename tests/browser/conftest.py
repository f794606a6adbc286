"""A server with a tiny bundle, in a process of its own, and a headless Chromium."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest
from tiny import tiny_bundle_for_texts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MAX_UPLOAD_MB = 5


class Server(NamedTuple):
    """A running `adiff serve`: its address, the folder for temporary files, and its process."""

    address: str
    folder: Path
    process: psutil.Process

    def memory(self) -> int:
        """Bytes that the server holds, and the processes that read uploads for it; not the one with the models."""
        total = self.process.memory_info().rss
        for process in self.process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any("rehearsal" in argument for argument in process.cmdline()):
                    total += process.memory_info().rss
        return total

    def files(self) -> list[Path]:
        """What visitors' files there are."""
        return [
            path
            for kind in ("uploads", "results", "worker-*")
            for path in self.folder.glob(f"adiff-serve-*/{kind}/**/*")
            if path.is_file()
        ]


@pytest.fixture(scope="session")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("gradio", reason="the web page needs the extra web")
    folder = tmp_path_factory.mktemp("server")
    tiny_bundle_for_texts(folder).save(folder / "tiny")
    (folder / "tmp").mkdir()
    command = [sys.executable, "-m", "adiff_jax.app.cli", "serve", "--bundle", str(folder / "tiny"), "--port", "0"]
    command += ["--max-upload-mb", str(MAX_UPLOAD_MB), "--max-frames", "40", "--max-seconds", "5"]
    environ = os.environ | {"TMPDIR": str(folder / "tmp"), "XDG_CONFIG_HOME": str(folder / "config")}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=root, env=environ, stdout=subprocess.PIPE, stderr=log, text=True)
        watchdog = threading.Timer(300, process.kill)
        watchdog.start()
        line = process.stdout.readline()
        watchdog.cancel()
        assert "http" in line, (folder / "log.txt").read_text()
        try:
            yield Server(line.split()[4], folder / "tmp", psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    assert list((folder / "tmp").glob("adiff-serve-*")) == [], "the server left files behind"


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Closed with its module: while it is open its event loop runs in this thread, and a test can start no other."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the package playwright")
    with sync_api.sync_playwright() as playwright:
        path = playwright.chromium.executable_path
        if not Path(path).exists():
            path = next(filter(None, map(shutil.which, BROWSERS)), None)
        if path is None:
            pytest.skip(f"no browser: run `playwright install chromium`, or install one of {', '.join(BROWSERS)}")
        options = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(server: Server, browser: "Browser") -> Iterator["Page"]:
    """The page, opened anew."""
    from playwright.sync_api import expect

    context = browser.new_context(accept_downloads=True, permissions=["camera"], base_url=server.address)
    context.set_default_timeout(120_000)
    expect.set_options(timeout=120_000)
    page = context.new_page()
    page.goto("/")
    page.locator("#run").wait_for()
    yield page
    context.close()
