"""Single calls of `abe-redis mcp --http`: who may call, what is accepted, and bodies that are no message."""

from collections.abc import Callable

import anyio
import anyio.to_thread
import httpx
import pytest

from tests.hosts import environments
from tests.hosts.conftest import Start
from tests.hosts.mcp_http import BOTH, INITIALIZE, VERSIONS, Served, serve
from tests.patience import PATIENCE

__all__ = ["serve"]

TOKEN = "a-token-that-is-long-enough"


@pytest.mark.promise("The headers `Host` and `Origin` are checked")
@pytest.mark.promise("any other address needs a bearer token")
def test_a_call_needs_the_token_and_a_known_host(
    serve: Callable[..., Served], start: Start, redis_url: str
) -> None:
    served = serve("1.30", ABE_REDIS_MCP_TOKEN=TOKEN)
    assert served.status("/mcp", INITIALIZE) == 401
    assert served.status("/mcp", INITIALIZE, Authorization=f"Bearer {TOKEN}x") == 401
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert served.status("/mcp", INITIALIZE, **right) == 200
    assert served.status("/mcp", INITIALIZE, Host="evil.example", **right) == 421
    assert served.status("/mcp", INITIALIZE, Origin="https://evil.example", **right) == 403
    assert served.status("/healthz") == 200

    async def play() -> None:
        async with served.client(headers=right) as session:
            assert len((await session.list_tools()).tools) == 8

    anyio.run(play)
    sdk = environments.mcp_sdk("1.30")
    for options, token, words in (
        (["--host", "0.0.0.0"], "", "set a token in ABE_REDIS_MCP_TOKEN"),
        (["--host", "0.0.0.0"], "short", "give one of 16 or more"),
    ):
        refused = start(
            sdk,
            *("-m", "abe_redis", "mcp", "--http", *options),
            variables={"REDIS_URL": redis_url, "ABE_REDIS_MCP_TOKEN": token},
        )
        assert refused.wait() == 2
        assert words in refused.stderr


ACCEPTED = ("application/json, text/event-stream", "text/event-stream", "application/json", "*/*", None)
ACCEPTED_TOO = ("text/*", "application/*", "APPLICATION/JSON; q=0.5, */*;q=0.1", "text/html")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_call_is_answered_whatever_a_client_says_it_accepts(
    version: str, serve: Callable[..., Served]
) -> None:
    served = serve(version)
    for accepted in (*ACCEPTED, *ACCEPTED_TOO):
        with httpx.Client(base_url=served.url, timeout=PATIENCE) as client:
            del client.headers["accept"]
            headers = {} if accepted is None else {"Accept": accepted}
            greeting = client.post("/mcp", json=INITIALIZE, headers=headers)
            assert greeting.status_code == 200, (accepted, greeting.text)
            session = {"mcp-session-id": greeting.headers["mcp-session-id"], **headers}
            ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            assert client.post("/mcp", json=ready, headers=session).status_code == 202
            request = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
            answer = client.post("/mcp", json=request, headers=session)
            assert answer.status_code == 200
            assert "stream_stats" in answer.text
            if accepted == "application/json":
                assert answer.headers["content-type"] == "application/json"
                assert len(answer.json()["result"]["tools"]) == 8
            with client.stream("GET", "/mcp", headers=session) as events:
                assert events.status_code == 200, accepted


@pytest.mark.parametrize("version", ["1.30", "2.3"])
def test_a_body_that_is_no_message_is_answered_with_its_id(
    version: str, serve: Callable[..., Served]
) -> None:
    served = serve(version)
    with httpx.Client(base_url=served.url, timeout=PATIENCE) as client:
        greeting = client.post("/mcp", json=INITIALIZE, headers=BOTH)
        session = BOTH | {
            "mcp-session-id": greeting.headers["mcp-session-id"],
            "Content-Type": "application/json",
        }
        for text in ("[" * 5000 + "]" * 5000, '"\\ud83d"', "{"):
            call = '{"name":"publish_event","arguments":{"payload":{"a":' + text + "}}}"
            body = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":' + call + "}"
            answer = client.post("/mcp", content=body, headers=session)
            assert answer.status_code == 400
            found = answer.json()
            assert (found["id"], found["error"]["code"]) == (7, -32700)
        request = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        assert client.post("/mcp", json=request, headers=session).status_code == 200, "and it goes on"
