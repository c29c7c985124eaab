"""The MCP server answers whatever a client writes: no numbers, deep nesting, frames that are no message."""

import json
import math
import os
from collections.abc import Callable
from typing import Any

import pytest

from abe_redis.schemas import MAX_WAIT_SECONDS
from tests.hosts import environments
from tests.hosts.conftest import Start
from tests.hosts.mcp_sessions import (
    GROUP,
    HANDSHAKE,
    NEWEST,
    SERVE,
    TOPIC,
    VERSIONS,
    Client,
    Raw,
    connect,
    text_of,
)
from tests.servers import Server

__all__ = ["connect"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_number_that_is_none_is_refused(version: str, start: Start, server: Server, redis_url: str) -> None:
    child = start(environments.mcp_sdk(version), *SERVE, variables={"REDIS_URL": redis_url}, forked=True)
    raw = Raw(child)
    for number in (math.nan, math.inf, -math.inf):
        answer = raw.call("publish_event", payload={"n": [number]})  # on the wire: NaN, Infinity
        assert answer["isError"] is True
        assert "nothing was published" in text_of(answer)
        assert raw.call("read_stream", wait_seconds=number)["isError"] is True
    child.close_stdin()
    assert child.wait() == 0
    with server.admin() as admin:
        assert admin.dbsize() == 0


@pytest.mark.parametrize("version", NEWEST)
def test_a_method_that_is_unknown_is_refused_with_a_line_in_the_log_at_most(
    version: str, start: Start, redis_url: str
) -> None:
    child = start(environments.mcp_sdk(version), *SERVE, variables={"REDIS_URL": redis_url}, forked=True)
    raw = Raw(child)
    answer = raw.ask("no/such")
    assert answer["code"] in {-32602, -32601}
    child.close_stdin()
    assert child.wait() == 0
    assert child.stderr.count("\n") <= 1
    assert "validation error" not in child.stderr
    if child.stderr:
        assert "Refused a request of the client: the protocol has no method 'no/such', or not" in child.stderr


@pytest.mark.parametrize("version", NEWEST)
def test_a_client_is_answered_whatever_is_nested_how_deeply(
    version: str, connect: Callable[..., Client], server: Server, redis_url: str
) -> None:
    with server.admin() as admin:
        for levels in (100, 196, 250, 255, 500):
            admin.xadd(TOPIC, {"data": '{"in":' * levels + "1" + "}" * levels})
        admin.xadd(TOPIC, {"data": '{"n":1}'})
    sdk = environments.mcp_sdk(version)
    client = connect(sdk, sdk, redis_url)
    for tool, how in (
        ("read_stream", {}),
        ("lease_events", {"group": GROUP}),
        ("read_stream", {"group": GROUP, "pending": True}),
    ):
        events = client.call(tool, payload="whole", max_chars=20_000, **how)["events"]
        assert [event.get("truncated", False) for event in events].count(True) == 5
        assert {"n": 1} in [event["untrusted_payload"] for event in events]
    client.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_message_is_answered_whatever_clients_write_around_it(
    version: str, start: Start, redis_url: str
) -> None:
    child = start(environments.mcp_sdk(version), *SERVE, variables={"REDIS_URL": redis_url}, forked=True)
    assert child.process.stdin is not None

    def answered(number: int, around: str, method: str, **parameters: object) -> None:
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        child.send(around.replace("{}", json.dumps(request)))
        child.wait_for(
            lambda lines: any(json.loads(one).get("id") == number for one in lines),
            f"the answer to {around!r}",
        )

    client = {"name": "test", "version": "0"}
    answered(1, "\ufeff{}\r", "initialize", protocolVersion=HANDSHAKE, capabilities={}, clientInfo=client)
    child.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
    child.send("")
    os.write(child.process.stdin.fileno(), b"\xff\xfe is not UTF-8\n")
    for number, around in enumerate(("\ufeff{}", " \ufeff {} ", "\r\n{}\r"), 2):
        answered(number, around, "ping")
    child.close_stdin()
    assert child.wait() == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_a_frame_that_is_no_message_is_answered_with_its_id(
    version: str, start: Start, redis_url: str
) -> None:
    child = start(environments.mcp_sdk(version), *SERVE, variables={"REDIS_URL": redis_url}, forked=True)
    raw = Raw(child)
    deep = "[" * 5000 + "]" * 5000
    for entry_id, text in (("deep", deep), ("lone", '"\\ud83d"'), ("odd", "{")):
        call = '{"name":"publish_event","arguments":{"payload":{"a":' + text + "}}}"
        child.send(f'{{"jsonrpc":"2.0","id":"{entry_id}","method":"tools/call","params":{call}}}')

        def answered(lines: list[str], entry_id: str = entry_id) -> Any:
            return next((one for one in map(json.loads, lines) if one.get("id") == entry_id), None)

        answer = child.wait_for(answered, f"the answer to {entry_id}")
        assert answer["error"]["code"] == -32700
    assert raw.ask("tools/list")["tools"], "and the server goes on"
    child.close_stdin()
    assert child.wait() == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_asked_before_the_end_of_stdin_is_answered(
    version: str, start: Start, redis_url: str
) -> None:
    """As in `printf ... | abe-redis mcp`; a call that waits for events does not keep the server."""
    child = start(environments.mcp_sdk(version), *SERVE, variables={"REDIS_URL": redis_url}, forked=True)
    hello = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
    asked = [
        (1, "initialize", hello),
        (None, "notifications/initialized", {}),
        (2, "tools/call", {"name": "read_stream", "arguments": {"wait_seconds": MAX_WAIT_SECONDS}}),
        *((number, "tools/call", {"name": "stream_stats", "arguments": {}}) for number in (3, 4)),
        (5, "tools/list", {}),
        (None, "notifications/cancelled", {"requestId": ["no id"]}),
    ]
    for number, method, parameters in asked:
        message = {"jsonrpc": "2.0", "method": method, "params": parameters}
        child.send(json.dumps(message | ({} if number is None else {"id": number})))
    child.close_stdin()
    assert child.wait() == 0
    answered = {one["id"] for one in map(json.loads, child.lines)}
    assert answered - {2} == {1, 3, 4, 5}
