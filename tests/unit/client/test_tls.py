"""Files for TLS without TLS."""

import logging

import pytest

from abe_redis.client import tls
from abe_redis.client.connections import Connections
from abe_redis.settings import Settings


async def test_files_that_no_connection_uses_are_a_warning_once_and_no_error(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_said", set())
    settings = Settings(redis_url="redis://127.0.0.1:1", redis_ssl_ca_certs="ca.pem")
    for _ in range(2):
        await (await Connections.open(settings)).close()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "REDIS_SSL_CA_CERTS has no effect: the connection to redis://127.0.0.1:1 is not encrypted. "
        "`abe-redis doctor` says what to do."
    )
