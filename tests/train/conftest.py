"""Fixtures of the training tests."""

import pytest
from toy import ToyTask

from adiff_jax.train.tasks import TASKS


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the task `toy` known."""
    monkeypatch.setitem(TASKS, "toy", ToyTask)
