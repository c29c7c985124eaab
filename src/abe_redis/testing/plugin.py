"""The pytest plugin: a queue in memory, and a real server of one's own."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from abe_redis.testing import InMemoryBackend


@pytest.fixture
def abe_redis_backend() -> "InMemoryBackend":
    """A queue in memory, empty."""
    from abe_redis.testing import InMemoryBackend  # noqa: PLC0415 - only for those who use it

    return InMemoryBackend()


@pytest.fixture(scope="session")
def abe_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real server that is started for these tests; needs the extra `embedded`."""
    from abe_redis.embedded.server import EmbeddedServer  # noqa: PLC0415

    directory = tmp_path_factory.mktemp("abe-redis")
    server = EmbeddedServer(directory)
    server.start()
    yield f"embedded://{directory}"
    server.stop()


@pytest.fixture
def abe_redis_url(abe_redis_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """That server's URL, with the server empty, and with REDIS_URL set to it."""
    from pathlib import Path  # noqa: PLC0415
    from urllib.parse import urlsplit  # noqa: PLC0415

    from redis import Redis  # noqa: PLC0415

    from abe_redis.embedded.server import EmbeddedServer  # noqa: PLC0415

    server = EmbeddedServer(Path(urlsplit(abe_redis_server).path))
    with Redis(unix_socket_path=str(server.start())) as redis:
        redis.flushall()
    server.stop()
    monkeypatch.setenv("REDIS_URL", abe_redis_server)
    return abe_redis_server
