"""The web server: who is let in, and what address is told."""

import http.client
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("gradio", reason="the web page needs the extra web")

from fastapi.testclient import TestClient

from adiff_jax.app.web import server
from adiff_jax.app.web.examples import draw_examples
from adiff_jax.app.web.limits import PageLimits
from adiff_jax.app.web.page import Page
from adiff_jax.app.web.sessions import Sessions


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, PageLimits, Sessions]]:
    limits = PageLimits()
    with Sessions(tmp_path_factory.mktemp("sessions")) as sessions:
        examples = draw_examples(sessions.examples, people=(3,), drivers=(4,), frames=2, size=32)
        yield Page(limits, sessions, examples, []), limits, sessions


def test_a_page_with_a_password_is_for_those_who_have_it(parts) -> None:
    client = TestClient(server.as_app(*parts, auth=("me", "secret")))

    def answers() -> set[int]:
        upload = client.post("/gradio_api/upload", files={"files": ("a.txt", b"text")})
        return {client.get("/config").status_code, upload.status_code}

    assert client.get("/").status_code == 200, "the login"
    for user, password in (("me", "wrong"), ("you", "secret")):
        assert client.post("/login", data={"username": user, "password": password}).status_code == 400
        assert answers() == {401}
    assert client.post("/login", data={"username": "me", "password": "secret"}).status_code == 200
    assert answers() == {200}


def test_a_page_with_a_password_is_closed_too(parts) -> None:
    page, limits, sessions = parts
    app = server.as_app(page, limits, sessions, auth=("me", "secret"))
    with server.listening("127.0.0.1", 0) as listener, server.answering(app, listener):
        connection = http.client.HTTPConnection(*listener.getsockname())
        connection.request("GET", "/gradio_api/heartbeat/visitor")
        answer = connection.getresponse()
        assert answer.readline().startswith(b"data:")
        folder = sessions["visitor"].folder
        answer.close()
        connection.close()
        deadline = time.monotonic() + 20
        while folder.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not folder.exists()


def test_a_page_without_a_password_is_for_all(parts) -> None:
    client = TestClient(server.as_app(*parts))
    assert client.get("/config").status_code == 200


def test_the_password_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(server.AUTH_VARIABLE, raising=False)
    assert server.user_and_password() is None
    monkeypatch.setenv(server.AUTH_VARIABLE, "me:a:b")
    assert server.user_and_password() == ("me", "a:b")
    for value in ("", "me", "me:", ":secret"):
        monkeypatch.setenv(server.AUTH_VARIABLE, value)
        with pytest.raises(ValueError, match="must be of the form USER:PASSWORD"):
            server.user_and_password()


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_the_address_can_be_opened(host: str) -> None:
    with server.listening(host, 0) as listener:
        assert server.address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}/"
