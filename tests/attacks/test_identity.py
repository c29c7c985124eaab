"""A client that wants to be another one: its name, its headers and its era are its own choice."""

import pytest
import redis

from tests.attacks.conftest import LINES, OpenDoor
from tests.attacks.tally import Tally

STREAM, GROUP = "slack_events", "agents"


def prepare(redis_url: str, events: int) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for number in range(events):
            client.xadd(STREAM, {"data": f'{{"type": "message", "n": {number}}}'})


def holders(redis_url: str) -> dict[str, str]:
    """By entry, the consumer that holds it."""
    with redis.Redis.from_url(redis_url) as client:
        rows = client.xpending_range(STREAM, GROUP, "-", "+", 100)
        return {row["message_id"].decode(): row["consumer"].decode() for row in rows}


@pytest.mark.promise("Over HTTP a client is known by the session")
@pytest.mark.promise("Leases, questions and limits of waiting are kept by that identity")
@pytest.mark.parametrize("version", LINES)
def test_no_client_acts_as_another(version: str, door: OpenDoor, redis_url: str) -> None:
    prepare(redis_url, 8)
    served, tally = (
        door(version, "--changes-per-minute", "100000"),
        Tally(f"acting as another client, SDK {version}"),
    )
    victim = served.agent("claude-code")
    ids = victim.lease(STREAM, GROUP, 4)
    (shown,) = set(holders(redis_url).values())
    tail = shown.split("claude-code", 1)[1]
    names = ["claude-code", f"claude-code{tail}", shown, victim.session, f"claude-code-{victim.session}"]
    names += [
        f"claude-code{tail}\x00",
        "CLAUDE CODE",
        f"session\x00{victim.session}",
        "",
        "\u202eedoc-edualc",
    ]
    headers: list[dict[str, str]] = [{}]
    if version.startswith("2"):
        headers += [{"Mcp-Session-Id": victim.session}, {"Mcp-Session-Id": shown}]
    for modern in (False, True) if version.startswith("2") else (False,):
        for name in names:
            for more in headers if modern else [{}]:
                attacker = served.agent(name, modern=modern, headers=more)
                for consumer in ({}, {"consumer": shown}):
                    for tool, arguments in (
                        ("ack", {}),
                        ("release", {}),
                        ("release", {"bury": True, "reason": "gone", "confirm": True}),
                    ):
                        what = {"stream": STREAM, "group": GROUP, "ids": ids, **consumer, **arguments}
                        attacker.ask(tool, what)
                        left = holders(redis_url)
                        escaped = any(left.get(one) != shown for one in ids)
                        tally.tried(f"{tool} as {name!r} with {more}", escaped=escaped)
    tally.check(least=50 if version.startswith("1") else 150)
    assert victim.call("ack", stream=STREAM, group=GROUP, ids=ids)["acked"] == ids


@pytest.mark.promise("A client of protocol 2026-07-28, which has no sessions")
def test_clients_without_sessions_keep_what_they_lease_apart_by_name(door: OpenDoor, redis_url: str) -> None:
    prepare(redis_url, 2)
    served = door("2.3")
    first, second = (served.agent(name, modern=True) for name in ("one", "two"))
    (held,) = first.lease(STREAM, GROUP, 1)
    what = {"stream": STREAM, "group": GROUP, "ids": [held]}
    assert second.call("ack", **what)["not_held"] == [held]
    assert first.call("ack", **what)["acked"] == [held]
