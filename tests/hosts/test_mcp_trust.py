"""`--trusted-users` and `--trusted-channels` with real clients: no word of a stranger comes over the wire."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.hosts import environments
from tests.hosts.mcp_sessions import HANDSHAKE, MODERN, Client, connect
from tests.integration.mcp.test_trust import OF_STRANGERS, OF_THE_TRUSTED, WORD
from tests.servers import Server
from tests.topologies import wait_until

__all__ = ["connect"]

STREAM, GROUP, CHANNEL_OF_ALL = "slack_events", "bot", "C8"
ALLOWED = "Xylophone"
"""What trusted people said."""
SHAPES: tuple[dict[str, Any], ...] = ({}, {"payload": "whole", "max_chars": 100_000})
PLACES = (
    "abe-redis://overview",
    f"abe-redis://streams/{STREAM}",
    f"abe-redis://streams/{STREAM}/groups/{GROUP}",
)


def fill(server: Server) -> list[str]:
    """What strangers and the trusted wrote, waiting and given up on; the ids of all that waits."""
    said = json.dumps([*OF_THE_TRUSTED.values()]).replace(WORD, ALLOWED)
    event = {"type": "message", "user": "U9", "channel": CHANNEL_OF_ALL, "text": ALLOWED}
    events = [*OF_STRANGERS.values(), *json.loads(said), {"type": "event_callback", "event": event}]
    with server.admin() as admin:
        for one in events:
            reason = f"KeyError: {WORD}" if one in OF_STRANGERS.values() else f"KeyError: {ALLOWED}"
            facts: Any = {"abe:reason": reason, "abe:group": GROUP, "abe:id": "1-1", "abe:deliveries": "5"}
            admin.xadd(f"dead:{{{STREAM}}}", facts | {"data": json.dumps(one)})
        admin.xgroup_create(STREAM, GROUP, "0", mkstream=True)
        return [str(admin.xadd(STREAM, {"data": json.dumps(one)})) for one in events]


def calls(ids: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each tool in each way in which it shows something of an event."""
    everything: dict[str, Any] = {"count": 100}
    for shape in SHAPES:
        for how in ({}, {"dead": True}, {"order": "oldest"}, {"contains": WORD}, {"user": "U9"}):
            yield "read_stream", everything | shape | how
        yield "lease_events", {"group": GROUP, "ids": ids, **shape, "max_chars": 200_000}
        for how in ({}, {"group": GROUP}):
            yield "read_stream", everything | shape | {"pending": True} | how
        yield "release", {}
    for entry in ids:
        yield "read_stream", {"event_id": entry, "payload": "whole"}
    yield "read_stream", {"event_id": "Ev1"}
    for by in ("type", "user", "channel", "thread", "hour", "day"):
        for dead in (False, True):
            yield "count_events", {"by": by, "dead": dead, "count": 100}
    for by in ("reason", "group"):
        yield "count_events", {"by": by, "count": 100}
    for chosen in ({"reason": WORD[:3]}, {"event_type": "message"}, {"ids": ["9-9"]}, {}):
        yield "redrive", chosen
    yield "stream_stats", {}
    yield "stream_stats", {"stream": STREAM}
    # And what is refused.
    yield "ack", {"ids": ["9-9"], "stream": STREAM, "group": GROUP, "confirm": True}
    yield "lease_events", {"group": "elsewhere", "ids": ids}
    yield "read_stream", {"stream": "elsewhere"}
    yield "read_stream", {"start": "nowhere"}
    # What was given up on by the agent, and redriven.
    yield "lease_events", {"group": GROUP, "count": 100, "max_chars": 200_000}
    yield "release", {"bury": True, "reason": "too old", "confirm": True}
    yield "read_stream", everything | {"dead": True, "payload": "whole", "max_chars": 200_000}
    yield "redrive", {"all": True, "dry_run": False, "confirm": True}
    yield "read_stream", everything | {"payload": "whole", "max_chars": 200_000}


@pytest.mark.parametrize(("version", "protocol"), [("1.30", HANDSHAKE), ("2.3", MODERN)])
def test_no_word_of_a_stranger_comes_over_the_wire(
    version: str, protocol: str, connect: Callable[..., Client], redis_url: str, server: Server
) -> None:
    ids = fill(server)
    sdk = environments.mcp_sdk(version)
    options = ("--trusted-users", "U1", "--trusted-channels", CHANNEL_OF_ALL)
    modern = protocol == MODERN
    client = connect(sdk, sdk, redis_url, *options, modern=modern, agree="yes")
    got = [client.answer(tool, **arguments) for tool, arguments in calls(ids)]
    client.follow(*PLACES)
    with server.admin() as admin:
        for one in OF_STRANGERS.values():
            admin.xadd(STREAM, {"data": json.dumps(one)})
            admin.xadd(f"dead:{{{STREAM}}}", {"data": json.dumps(one), "abe:reason": WORD})
    wait_until(lambda: set(client.updates()) == set(PLACES), "news of each")
    entries = [f"abe-redis://streams/{STREAM}/entries/{entry}" for entry in ids[::5]]
    read = [client.do("read_resource", uri=uri) for uri in (*PLACES, *entries)]
    got += [*read, {"questions": client.questions()}, {"lines": client.lines()}]
    for name in ("stream", "group", "consumer"):
        got.append(client.do("complete", of="triage", name=name, value=""))
    client.close()

    for one in got:
        assert WORD not in json.dumps(one), one
    told = json.dumps(got)
    assert ALLOWED in told
    assert f"KeyError: {ALLOWED}" in told, "the reasons of trusted events are shown"
    assert "characters by an author who is not trusted here are withheld" in told
    firsts = [one["contents"][0]["text"].split("\n")[0] for one in read[:3]]
    assert all(first.startswith("Changed at ") and " new " in first for first in firsts), firsts
