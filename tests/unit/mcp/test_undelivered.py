"""Over HTTP, a client's words that it gives a request up are heard however they are written."""

from types import SimpleNamespace
from typing import Any

import pytest

from abe_redis.mcp.client_identity import Identity
from abe_redis.mcp.compat.undelivered import noticing
from abe_redis.mcp.lease_calls import LEASE_CALL, LeaseCalls

REQUEST = SimpleNamespace(request_context=SimpleNamespace(request_id=7, request=None))


@pytest.mark.parametrize("slash", ["/", "\\/", "\\u002f"])
async def test_a_cancellation_over_http_is_heard_however_its_slash_is_written(slash: str) -> None:
    calls, returned = LeaseCalls(), list[int]()

    async def take_back() -> None:
        returned.append(7)

    async with calls.known("lease_events", Identity.of("session", "", ""), REQUEST):
        call = LEASE_CALL.get()
        assert call is not None
        call.take_back = take_back
    body = f'{{"jsonrpc":"2.0","method":"notifications{slash}cancelled","params":{{"requestId":7}}}}'

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    async def send(_: object) -> None: ...

    async def app(_: object, receive: Any, __: object) -> None:
        await receive()

    scope = {"type": "http", "method": "POST", "headers": []}
    await noticing(app, calls)(scope, receive, send)
    assert returned == [7]
