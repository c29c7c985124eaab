"""Consumers on a machine that may be busy."""

import pytest

from abe_redis.consuming import lifecycle
from abe_redis.publishing import publisher
from tests.patience import PATIENCE


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishing and closing take as long as they need: these tests are about other things."""
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", PATIENCE)
    monkeypatch.setattr(lifecycle, "CLOSE_SECONDS", PATIENCE / 4)
