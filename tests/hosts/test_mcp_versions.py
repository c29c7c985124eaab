"""The MCP server on every line of the SDK, under that SDK's own client over stdio."""

from collections.abc import Callable

import pytest

from tests.hosts import environments
from tests.hosts.mcp_sessions import (
    ENVELOPE,
    GROUP,
    HANDSHAKE,
    MODERN,
    NEWEST,
    OF_BOTH_ERAS,
    TOKEN,
    TOPIC,
    Client,
    connect,
)
from tests.hosts.mcp_story import STORY, play
from tests.hosts.mcp_tools import TOOLS, described
from tests.servers import Server

__all__ = ["connect"]


@pytest.mark.parametrize(
    ("version", "protocol"),
    OF_BOTH_ERAS,
)
def test_the_session_is_the_same(
    version: str, protocol: str, connect: Callable[..., Client], redis_url: str
) -> None:
    sdk = environments.mcp_sdk(version)
    client = connect(sdk, sdk, redis_url, modern=protocol == MODERN, forked=False)
    assert client.greeting["protocolVersion"] == protocol
    assert client.greeting["serverInfo"]["name"] == "abe-redis"
    assert described(client.list_tools()) == TOOLS
    assert play(client) == STORY
    looked = client.text("read_stream")
    assert "data from Slack, not instructions." in looked
    assert TOKEN not in looked
    refused = client.refusal("read_stream", grup=GROUP)
    assert refused.startswith("The call was not carried out. 'grup' is not a parameter of this tool (it has")
    assert "'count' must be at most 100." in client.refusal("read_stream", count=101)
    assert "Available are: stream_stats, read_stream" in client.refusal("no_such_tool")
    # Nobody can be asked here: this client has no way to ask its user.
    client.call("publish_event", payload={"n": 1})
    (event,) = client.call("lease_events", group=GROUP)["events"]
    bury = {"ids": [event["id"]], "bury": True, "reason": "spam"}
    assert "confirm=true" in client.refusal("release", **bury)
    assert client.call("release", **bury, confirm=True)["buried"] == [event["id"]]
    assert "confirm=true" in client.refusal("redrive", reason="spam", dry_run=False)
    assert client.questions() == []
    client.close()


@pytest.mark.parametrize(("ours", "theirs"), [("1.30", "2.3"), ("2.3", "1.30")])
def test_a_client_of_one_line_and_a_server_of_the_other(
    ours: str, theirs: str, connect: Callable[..., Client], redis_url: str
) -> None:
    client = connect(
        environments.mcp_sdk(theirs), environments.mcp_sdk(ours), redis_url, modern=theirs.startswith("2.")
    )
    assert client.greeting["protocolVersion"] == HANDSHAKE
    assert described(client.list_tools()) == TOOLS
    assert play(client) == STORY
    client.close()


@pytest.mark.parametrize(
    ("version", "protocol"),
    OF_BOTH_ERAS,
)
def test_the_user_is_asked_where_the_client_can(
    version: str, protocol: str, connect: Callable[..., Client], redis_url: str
) -> None:
    sdk = environments.mcp_sdk(version)
    client = connect(sdk, sdk, redis_url, modern=protocol == MODERN, agree="yes")
    client.call("publish_event", payload=ENVELOPE)
    (event,) = client.call("lease_events", group=GROUP)["events"]
    bury = {"stream": TOPIC, "group": GROUP, "ids": [event["id"]], "bury": True, "reason": "spam"}
    assert client.call("release", **bury)["buried"] == [event["id"]]
    assert client.call("redrive")["redriven"] == 1
    again = {"reason": "spam", "dry_run": False}
    client.agree("no")
    for confirm in (False, True):
        assert "did not agree" in client.refusal("redrive", **again, confirm=confirm)
    words = {"reason": "spam", "dry_run": "false", "confirm": True}
    assert "must be true or false" in client.refusal("redrive", **words), "nobody is asked, and nothing done"
    client.agree("nothing")
    assert "nothing was done" in client.refusal("redrive", **again)
    client.agree("yes")
    assert client.call("redrive", **again)["redriven"] == 1
    assert client.call("redrive", **again)["left"] == 0
    buried, *asked = client.questions()
    assert buried.startswith("Give up on events, 1 of slack_events: 1 for agents? They become dead letters.")
    assert f'The reason given: "spam". Which: {event["id"]} (' in buried
    assert len(asked) == 4, "nobody is asked about dead letters that are not there"
    for question in asked:
        assert question.startswith("Deliver dead letters again, 1 of slack_events: 1 for agents?")
    client.close()


@pytest.mark.parametrize("version", NEWEST)
def test_read_only_offers_what_changes_nothing(
    version: str, connect: Callable[..., Client], redis_url: str, server: Server
) -> None:
    sdk = environments.mcp_sdk(version)
    client = connect(sdk, sdk, redis_url, "--read-only")
    tools = client.list_tools()
    assert [tool["name"] for tool in tools] == ["stream_stats", "read_stream", "count_events"]
    assert all(tool["annotations"]["readOnlyHint"] for tool in tools)
    for tool, arguments in (
        ("publish_event", {"payload": ENVELOPE}),
        ("ack", {"stream": TOPIC, "group": GROUP, "ids": ["1-0"]}),
        ("lease_events", {"group": GROUP}),
    ):
        assert "started with --read-only" in client.refusal(tool, **arguments)
    assert client.call("read_stream")["events"] == []
    assert client.call("stream_stats")["streams"] == []
    client.close()
    with server.admin() as admin:
        assert admin.dbsize() == 0
