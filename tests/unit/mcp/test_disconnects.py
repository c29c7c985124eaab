"""A client that leaves is no error of the server; everything else that the SDK logs stays in the log."""

import logging

import anyio
import pytest

from abe_redis.mcp.compat.disconnects import leave_out_disconnects

SDK = "mcp.server.streamable_http"
LEFT, BROKEN = anyio.ClosedResourceError(), anyio.BrokenResourceError()


@pytest.mark.parametrize(
    ("said", "error", "is_logged"),
    [
        ("Error in SSE writer", LEFT, False),
        ("Error in standalone SSE writer", LEFT, False),
        ("Error in standalone SSE writer", BROKEN, True),
        ("Error in standalone SSE writer", ValueError("x"), True),
        ("Error in standalone SSE writer", None, True),
        ("Error in message router", LEFT, True),
        ("Error handling POST request", LEFT, True),
    ],
)
def test_only_a_client_that_left_is_left_out(
    said: str, error: Exception | None, is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    before = list(logging.getLogger(SDK).filters)
    leave_out_disconnects()
    leave_out_disconnects()
    try:
        logging.getLogger(SDK).error(said, exc_info=error)
        assert ([record.message for record in caplog.records] == [said]) == is_logged
        assert len(logging.getLogger(SDK).filters) <= len(before) + 1
    finally:
        logging.getLogger(SDK).filters[:] = before
