"""What subscribers of streams and groups are told over MCP, and how often."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.hosts import environments
from tests.hosts.conftest import Start
from tests.hosts.mcp_sessions import (
    ENVELOPE,
    GROUP,
    HANDSHAKE,
    MODERN,
    NEWEST,
    OF_BOTH_ERAS,
    SERVE,
    VERSIONS,
    Client,
    connect,
)
from tests.servers import Server
from tests.topologies import wait_until

__all__ = ["connect"]


NEWEST_OF_BOTH_ERAS = [one for one in OF_BOTH_ERAS if one[0] in NEWEST]


@pytest.mark.parametrize(
    ("version", "protocol"),
    OF_BOTH_ERAS,
)
def test_subscribers_are_notified_of_changes(
    version: str, protocol: str, connect: Callable[..., Client], redis_url: str
) -> None:
    sdk = environments.mcp_sdk(version)
    client = connect(sdk, sdk, redis_url, modern=protocol == MODERN)
    if protocol == HANDSHAKE:
        assert client.greeting["capabilities"]["resources"]["subscribe"] is True
    overview, followed, other = "abe-redis://overview", "abe-redis://streams/slack%3Aa", "slack:b"
    client.follow(followed, "abe-redis://streams/slack%3Aelsewhere")

    client.call("publish_event", payload=ENVELOPE, stream=other)
    client.call("publish_event", payload=ENVELOPE, stream="slack:a")
    # It did not exist when it was asked for.
    assert wait_until(client.updates, "news of the stream") == [followed]

    client.follow(overview)
    client.call("lease_events", stream="slack:a", group=GROUP)
    wait_until(lambda: set(client.updates()[1:]) == {followed, overview}, "news of both")
    if protocol == HANDSHAKE:
        for uri, why in (
            ("abe-redis://streams/abe%3Aaudit", "may touch"),
            ("abe-redis://streams/elsewhere/groups/x", "may touch"),
            ("abe-redis://overviews", "is no resource of this server"),
        ):
            assert why in client.do("subscribe_resource", uri=uri)["error"], "not accepted, and then silent"
    client.close()


@pytest.mark.parametrize(
    ("version", "protocol"),
    NEWEST_OF_BOTH_ERAS,
)
def test_subscribers_of_a_stream_and_of_a_group_are_told_in_a_line_what_changed(
    version: str, protocol: str, connect: Callable[..., Client], redis_url: str, server: Server
) -> None:
    stream = "abe-redis://streams/slack%3Aa"
    group = f"{stream}/groups/{GROUP}"
    sdk = environments.mcp_sdk(version)
    client = connect(sdk, sdk, redis_url, modern=protocol == MODERN)
    with server.admin() as admin:
        admin.xgroup_create("slack:a", GROUP, "$", mkstream=True)
        client.follow(stream, group)
        at_once = admin.pipeline(transaction=True)
        for _ in range(3):
            at_once.xadd("slack:a", {"data": json.dumps(ENVELOPE)})
        at_once.execute()

    assert set(wait_until(lambda: len(told := client.updates()) == 2 and told, "news")) == {stream, group}
    expected = {
        stream: f'3 new mentions in C1; group "{GROUP}": 3 not delivered (was 0); stalled (was ok)',
        group: "3 new mentions in C1; 3 not delivered (was 0)",
    }
    for uri, line in expected.items():
        (content,) = client.do("read_resource", uri=uri)["contents"]
        first = content["text"].split("\n")[0]
        assert re.fullmatch(rf"Changed at \d\d:\d\d:\d\d UTC: {re.escape(line)}", first), first
    if protocol == HANDSHAKE:  # the later one's client passes on the URI alone
        assert sorted(client.lines()) == sorted(expected.values())
    client.close()


def test_subscribers_are_told_once_a_second_at_most(
    connect: Callable[..., Client], redis_url: str, server: Server
) -> None:
    sdk = environments.mcp_sdk("1.30")
    client = connect(sdk, sdk, redis_url)
    began = time.monotonic()
    client.follow("abe-redis://overview", "abe-redis://streams/slack%3Aa")
    with server.admin() as admin:

        def told_often() -> bool:
            admin.xadd("slack:a", {"data": "{}"})
            return client.updates().count("abe-redis://overview") >= 3

        wait_until(told_often, "three notifications")
    often = client.updates().count("abe-redis://overview")
    assert time.monotonic() - began >= often
    client.close()


@pytest.mark.parametrize("version", [one for one in VERSIONS if one.startswith("2")])
def test_the_line_is_on_the_wire_of_the_protocol_without_sessions(
    version: str, start: Start, redis_url: str, server: Server
) -> None:
    child = start(environments.mcp_sdk(version), *SERVE, variables={"REDIS_URL": redis_url}, forked=True)
    said = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    wanted = {"resourceSubscriptions": ["abe-redis://streams/slack%3Aa"]}
    request = {"jsonrpc": "2.0", "id": "follow", "method": "subscriptions/listen"}
    child.send(json.dumps(request | {"params": {"notifications": wanted, "_meta": said}}))

    def find(method: str) -> dict[str, Any]:
        found: dict[str, Any] = child.wait_for(
            lambda lines: next((one for one in map(json.loads, lines) if one.get("method") == method), None),
            method,
        )
        return found

    find("notifications/subscriptions/acknowledged")
    with server.admin() as admin:
        admin.xadd("slack:a", {"data": json.dumps(ENVELOPE)})
    meta = find("notifications/resources/updated")["params"]["_meta"]
    assert meta["io.github.chisanan232.abe-redis/changed"].startswith("1 new mention in C1")
    assert meta["io.modelcontextprotocol/subscriptionId"] == "follow"

    unseen = {"resourceSubscriptions": ["abe-redis://streams/abe%3Aaudit"]}
    child.send(json.dumps(request | {"id": "no", "params": {"notifications": unseen, "_meta": said}}))
    refused: dict[str, Any] = child.wait_for(
        lambda lines: next((one for one in map(json.loads, lines) if one.get("id") == "no"), None), "an error"
    )
    assert "may touch" in refused["error"]["message"]
    child.close_stdin()
    assert child.wait() == 0
