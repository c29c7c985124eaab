"""What all tests of the doors share."""

import pytest

from abe_redis.slack import http, socket_connection
from tests.patience import PATIENCE


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no answer be late because the machine is slow; tests of that time set it themselves."""
    for door in (http, socket_connection):
        monkeypatch.setattr(door, "ANSWER_SECONDS", PATIENCE)
