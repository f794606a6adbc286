"""Consent is asked for once a source, and nothing is made without it."""

import stat

import pytest

from adiff_jax.app.consent import Consent, ConsentError, obtain_consent
from adiff_jax.app.userfiles import config_folder

ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture(autouse=True)
def nothing_on_record(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


class Terminal:
    """Answers, and counts the questions."""

    def __init__(self, answer: str | None):
        self.answer, self.questions = answer, []

    def __call__(self, question: str) -> str:
        self.questions.append(question)
        if self.answer is None:
            raise EOFError
        return self.answer


@pytest.mark.parametrize("answer", ["y", "Yes", " YES "])
def test_asked_once_a_source(answer: str) -> None:
    terminal = Terminal(answer)
    first = obtain_consent(ONE, "a.png", ask=terminal)
    assert first.how == "confirmed at the terminal"
    assert obtain_consent(ONE, "renamed.png", ask=terminal) == first
    assert len(terminal.questions) == 1
    assert "a.png shows a real face" in terminal.questions[0]
    obtain_consent(OTHER, "b.png", ask=terminal)
    assert len(terminal.questions) == 2
    assert stat.S_IMODE((config_folder() / "consent.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("answer", ["n", "", "perhaps", None])
def test_anything_but_yes_is_no_and_is_asked_again(answer: str | None) -> None:
    terminal = Terminal(answer)
    for _ in range(2):
        with pytest.raises(ConsentError, match=r"a\.png: no consent"):
            obtain_consent(ONE, "a.png", ask=terminal)
    assert len(terminal.questions) == 2
    assert not (config_folder() / "consent.json").exists()


def test_declared_beforehand_nobody_is_asked() -> None:
    terminal = Terminal("n")
    consent = obtain_consent(ONE, "a.png", declared=True, ask=terminal)
    assert consent.how == "declared with --i-have-consent"
    assert obtain_consent(ONE, "a.png", ask=terminal) == consent
    assert not terminal.questions


def test_with_nobody_to_ask_the_option_is_named() -> None:
    with pytest.raises(ConsentError, match="--i-have-consent"):
        obtain_consent(ONE, "a.png")


def test_damaged_records_are_named() -> None:
    obtain_consent(ONE, "a.png", declared=True)
    for content in ("[]", "{", '{"1": {}}'):
        (config_folder() / "consent.json").write_text(content)
        with pytest.raises(ConsentError, match="is damaged; remove it"):
            obtain_consent(ONE, "a.png", declared=True)


def test_now_is_in_utc() -> None:
    assert Consent.now("declared on the web page").time.endswith("+00:00")
