"""Which server the tests are about."""

import sys
from pathlib import Path

import pytest

from tests.server_binaries import ServerError, any_binary, system_binary


def test_a_server_that_is_named_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABE_REDIS_TEST_SERVER", sys.executable)
    assert any_binary() == system_binary() == Path(sys.executable)


def test_another_one_never_takes_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ABE_REDIS_TEST_SERVER", str(tmp_path / "redis-server"))
    with pytest.raises(ServerError, match="is no program"):
        any_binary()
