"""An agent that takes more than its part: of the workers' groups, of events, of history, of names."""

from typing import Any

import pytest
import redis

from tests.attacks.conftest import LINES, OpenDoor
from tests.attacks.tally import Tally
from tests.attacks.wire import Agent

STREAM = "slack_events"
MUCH = ("--changes-per-minute", "100000")


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url, decode_responses=True)


def fill(client: redis.Redis, events: int, stream: str = STREAM) -> None:
    with client.pipeline(transaction=False) as pipeline:
        for number in range(events):
            pipeline.xadd(stream, {"data": f'{{"type": "message", "n": {number}}}'})
        pipeline.execute()


def employ(client: redis.Redis, group: str, worker: str = "worker-1", stream: str = STREAM) -> None:
    """A group with a worker that was there once."""
    client.xgroup_create(stream, group, id="0", mkstream=True)
    client.xgroup_createconsumer(stream, group, worker)


@pytest.mark.promise("It works only in the groups that `--groups` names")
@pytest.mark.parametrize("version", LINES)
def test_agents_over_http_work_in_their_own_group_alone(
    version: str, door: OpenDoor, client: redis.Redis
) -> None:
    tally = Tally(f"working in others' groups, SDK {version}")
    fill(client, 20)
    groups = ("default", "bot", "agents ", "AGENTS", "agents:p1", "agents*", "*", "abe:x", "аgents")
    for group in groups:
        employ(client, group)
    read: Any = client.xreadgroup("bot", "worker-1", {STREAM: ">"}, 1)
    held = read[0][1][0][0]
    before = client.xinfo_groups(STREAM)
    for modern in (False, True) if version.startswith("2") else (False,):
        agent = door(version, *MUCH).agent(modern=modern)
        for group in groups:
            where = {"stream": STREAM, "group": group}
            for tool, more in (
                ("lease_events", {}),
                ("lease_events", {"consumer": "worker-1"}),
                ("lease_events", {"create_group": True}),
                ("ack", {"ids": [held], "confirm": True}),
                ("ack", {"ids": [held], "confirm": True, "consumer": "worker-1"}),
                ("release", {"ids": [held], "delay_seconds": 3000, "confirm": True, "consumer": "worker-1"}),
                ("release", {"ids": [held], "bury": True, "reason": "x", "confirm": True}),
            ):
                refused = agent.refused(tool, **where, **more)
                tally.tried(f"{tool} in {group!r} with {more}", escaped="--groups" not in refused)
    assert client.xinfo_groups(STREAM) == before
    tally.check(least=60)


@pytest.mark.promise("It makes no group on a stream that has others")
def test_no_agent_makes_a_group_that_keeps_history(door: OpenDoor, client: redis.Redis) -> None:
    tally = Tally("keeping history with a new group")
    fill(client, 3)
    employ(client, "bot")
    fill(client, 3, "slack:unread")
    for options in (("--groups", "*"), ("--groups", "agents,mine"), ()):
        agent = door("2.3", *MUCH, *options).agent()
        for stream, group in (
            *((STREAM, group) for group in ("agents", "mine", "new", "default")),
            *(("slack:unread", group) for group in ("new", "bot")),
            *(("slack:none", group) for group in ("agents", "new")),
        ):
            for create in (True, False):
                agent.ask("lease_events", {"stream": stream, "group": group, "create_group": create})
                made = [row["name"] for row in client.xinfo_groups(stream)] if client.exists(stream) else []
                tally.tried(
                    f"{group} of {stream} with {options}",
                    escaped=bool(set(made) - {"bot"}) or client.exists("slack:none") == 1,
                )
    tally.check(least=40)
    assert door("2.3").agent().lease("slack:unread", "agents"), "agents may begin where nobody is"
    allowed = door("2.3", "--create-groups").agent()
    assert allowed.lease(STREAM, "agents", create_group=True)


@pytest.mark.promise("So have the events of a minute that agents lease")
@pytest.mark.promise("All clients of a server share these.")
@pytest.mark.parametrize("version", LINES)
def test_the_events_of_a_minute_are_bounded(version: str, door: OpenDoor, client: redis.Redis) -> None:
    tally = Tally(f"taking more events than allowed, SDK {version}")
    fill(client, 1000)
    served = door(version, *MUCH, "--events-per-minute", "150")
    agents = [served.agent(f"agent-{number}") for number in range(4)]
    taken: list[str] = []
    for round_ in range(10):
        agent = agents[round_ % 4]
        result = agent.ask(
            "lease_events", {"stream": STREAM, "group": "agents", "count": 100, "max_chars": 200_000}
        )
        if result.get("isError"):
            assert "--events-per-minute" in str(result)
            tally.tried("lease", escaped=len(taken) < 150)
            continue
        ids = [event["id"] for event in result["structuredContent"]["events"]]
        taken += ids
        tally.tried("lease", escaped=len(taken) > 150)
        agent.ask("ack", {"stream": STREAM, "group": "agents", "ids": ids})
    refused = agents[0].refused("publish_event", payload={"type": "message"})
    tally.tried("publish", escaped="--events-per-minute" not in refused)
    assert len(taken) == 150
    assert client.xlen(STREAM) == 1000
    tally.check(least=10)


@pytest.mark.promise("So have the events of a minute that agents lease")
def test_the_bytes_of_a_minute_are_bounded(door: OpenDoor, client: redis.Redis) -> None:
    tally = Tally("publishing more bytes than allowed")
    agent = door("2.3", *MUCH, "--bytes-per-minute", "10000").agent()
    for number in range(20):
        agent.ask("publish_event", {"payload": {"type": "message", "n": number, "text": "x" * 900}})
        tally.tried("publish", escaped=client.xlen(STREAM) * 900 > 10_000)
    assert client.xlen(STREAM) == 10
    tally.check(least=20)


def test_what_is_not_taken_is_not_counted(door: OpenDoor, client: redis.Redis) -> None:
    fill(client, 1)
    agent = door("2.3", *MUCH, "--events-per-minute", "120").agent()
    assert len(agent.lease(STREAM, "agents", 100)) == 1
    fill(client, 60)
    for _ in range(5):
        agent.lease(STREAM, "agents", 20)
    assert client.xpending(STREAM, "agents")["pending"] == 61


@pytest.mark.promise("So have the events of a minute that agents lease")
def test_no_agent_makes_partitions_or_streams_without_bound(door: OpenDoor, client: redis.Redis) -> None:
    tally = Tally("making partitions and streams")
    client.xadd("slack_events:p1", {"data": "{}"})
    agent = door("2.3", *MUCH).agent()
    for number in (0, 2, 7, 100_000, 999_999):
        for topic in (STREAM, "slack:team", "slack:a:p1"):
            agent.ask("publish_event", {"payload": {"type": "message"}, "stream": f"{topic}:p{number}"})
            tally.tried(f"{topic}:p{number}", escaped=client.exists(f"{topic}:p{number}") == 1)
    assert agent.call("publish_event", payload={}, stream="slack_events:p1")["stream"] == "slack_events:p1"
    for number in range(60):
        agent.ask("publish_event", {"payload": {"type": "message"}, "stream": f"slack:new-{number}"})
        tally.tried(f"slack:new-{number}", escaped=len(list(client.scan_iter("slack:new-*"))) > 20)
    tally.check(least=75)


@pytest.mark.promise("So have the events of a minute that agents lease")
def test_nothing_is_postponed_beyond_the_bound(door: OpenDoor, client: redis.Redis) -> None:
    fill(client, 1)
    agent = door("2.3").agent()
    (held,) = agent.lease(STREAM, "agents")
    for delay in (3601, 86_400, 604_800, 604_801, 1e300, -1, -0.001, "1d"):
        assert agent.refused(
            "release", stream=STREAM, group="agents", ids=[held], delay_seconds=delay, confirm=True
        ), delay
        assert not list(client.scan_iter("abe:due:*")), delay
    assert agent.call("release", stream=STREAM, group="agents", ids=[held], delay_seconds=3600)[
        "released"
    ] == [held]


@pytest.mark.promise("The consumers of agents are called `mcp-…`")
def test_an_agent_hides_no_stall(door: OpenDoor, client: redis.Redis) -> None:
    tally = Tally("hiding a stall")
    fill(client, 10)
    employ(client, "default")
    client.xgroup_delconsumer(STREAM, "default", "worker-1")
    agent = door("2.3", *MUCH, "--groups", "*").agent()

    def health() -> str:
        found: list[dict[str, Any]] = agent.call("stream_stats", stream=STREAM)["streams"]
        return str(found[0]["health"])

    assert health() == "stalled"
    for consumer in (None, "worker-1", "worker-2", "mcp", "bot-1234-abcdef"):
        agent.lease(STREAM, "default", 2, **({} if consumer is None else {"consumer": consumer}))
        tally.tried(f"a lease as {consumer}", escaped=health() != "stalled")
    names = [row["name"] for row in client.xinfo_consumers(STREAM, "default")]
    assert client.xinfo_groups(STREAM)[0]["lag"] == 0
    for name in names:
        tally.tried(f"the consumer {name}", escaped=not name.startswith("mcp-"))
    tally.check(least=10)


@pytest.fixture
def guest(door: OpenDoor, client: redis.Redis) -> Agent:
    """An agent that holds events of a group in which a worker works."""
    fill(client, 30)
    employ(client, "bot")
    return door("2.3", *MUCH, "--groups", "*").agent()


def test_what_workers_share_is_not_settled_without_agreement(guest: Agent, client: redis.Redis) -> None:
    tally = Tally("settling without an agreement")
    ids = guest.lease(STREAM, "bot", 5)
    where = {"stream": STREAM, "group": "bot", "ids": ids}

    def pending() -> int:
        return int(client.xpending(STREAM, "bot")["pending"])

    for confirm in ("yes", "true", "True", "on", 1, 1.0, "1", [True], {"agreed": True}, None, "", False, 0):
        for tool, more in (
            ("ack", {}),
            ("release", {"delay_seconds": 60}),
            ("release", {"bury": True, "reason": "x"}),
        ):
            guest.ask(tool, {**where, **more, "confirm": confirm})
            due = client.zcard("abe:due:{slack_events}:bot")
            escaped = pending() != 5 or bool(due) or client.exists("dead:{slack_events}") == 1
            tally.tried(f"{tool} {more} with confirm={confirm!r}", escaped=escaped)
    tally.check(least=39)
    assert "needs the user's agreement" in guest.refused("ack", **where)
    assert guest.call("release", stream=STREAM, group="bot", ids=ids[:1])["released"] == ids[:1]
    assert guest.call("ack", **where | {"ids": ids[1:]}, confirm=True)["acked"] == ids[1:]


def test_dead_letters_are_not_redriven_without_agreement_nor_to_others(
    door: OpenDoor, client: redis.Redis
) -> None:
    tally = Tally("redriving without an agreement")
    fill(client, 1)
    for group in ("bot", "agents"):
        for number in range(3):
            client.xadd(
                "dead:{slack_events}",
                {"data": "{}", "abe:group": group, "abe:reason": "x", "abe:id": f"1-{number}"},
            )
    agent = door("2.3", *MUCH).agent()
    for dry_run in (False, "false", 0, "no", None, ""):
        for confirm in ("yes", "true", 1, "1", None, False):
            agent.ask("redrive", {"all": True, "dry_run": dry_run, "confirm": confirm})
            tally.tried(
                f"dry_run={dry_run!r} confirm={confirm!r}", escaped=client.xlen("dead:{slack_events}") != 6
            )
    agent.call("redrive", all=True, dry_run=False, confirm=True)
    rows: Any = client.xrange("dead:{slack_events}")
    left = [fields["abe:group"] for _, fields in rows]
    tally.tried("letters of others", escaped=left != ["bot"] * 3)
    tally.check(least=37)
