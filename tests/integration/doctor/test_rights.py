"""What each role may do on a server, and how the doctor says what a user lacks."""

import json
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend, Retry, Settings
from abe_redis.cli.doctor import in_lines
from abe_redis.doctor import Finding, examine
from abe_redis.doctor.rights import ROLES, Role
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams import peek
from abe_redis.streams.groups import ensure_group
from abe_redis.streams.patterns import Patterns
from tests.integration.conftest import take, take_one, until
from tests.servers import Server, Servers

SECURITY = Path(__file__).parents[3] / "docs/security.md"
TOPIC = "slack_events"
SECRET = "s3cret-w0rd"
EVENT = {"type": "message", "text": "hello"}


PATTERNS = ("work:*", "team one")
PUBLISHER, CONSUMER, OPERATOR, OBSERVER = ROLES


@pytest.fixture
def role_server(servers: Servers) -> Server:
    """A server on which each role's user was made with exactly its line."""
    server = servers(persistent=True)
    with server.admin() as admin:
        for role in ROLES:
            line = role.setuser(Patterns((*PATTERNS, TOPIC))).replace("PASSWORD", SECRET)
            admin.execute_command(*line.split(" "))
    return server


def as_role(server: Server, role: Role, **settings: Any) -> Settings:
    return Settings(
        redis_url=server.url,
        redis_username=f"abe-{role.name}",
        redis_password=SECRET,
        redis_stream_patterns=",".join(PATTERNS),
        **{"slack_events_topic": TOPIC} | settings,
    )


def refused(server: Server) -> list[Any]:
    """What the server refused to anybody, also where nobody noticed."""
    with server.admin() as admin:
        return [(entry["username"], entry["object"], entry["context"]) for entry in admin.acl_log()]


async def test_a_publisher_publishes(role_server: Server) -> None:
    settings = as_role(role_server, PUBLISHER, redis_stream_maxlen=10, redis_stream_trim_unread=True)
    with role_server.admin() as admin:
        admin.xadd("work:a", {"data": "{}"})
        admin.xgroup_create("work:a", "slow", "0")
        admin.xreadgroup("slow", "me", {"work:a": ">"})
    async with RedisMessageQueueBackend(settings) as backend:
        for number in range(120):
            await backend.publish("work:a", EVENT | {"number": number})
            await backend.publish("work:b", EVENT | {"number": number})
        for stream in (TOPIC, "team one"):
            envelope = {"type": "event_callback", "event_id": "Ev1", "event": EVENT}
            first = await backend.publish_event(stream, envelope)
            assert (await backend.publish_event(stream, envelope)).id == first.id
        await backend.publish("_health_check", {"type": "health_check"})
    with role_server.admin() as admin:
        assert admin.xlen("work:b") < 120, "trimmed"
        assert admin.zscore("abe:streams", TOPIC), "announced"
    assert refused(role_server) == []


async def test_a_consumer_consumes(role_server: Server) -> None:
    settings = as_role(role_server, CONSUMER, redis_stream_lease_seconds=2, redis_stream_maxlen=10)
    with role_server.admin() as admin:
        for stream in (TOPIC, "team one", "work:foreign"):
            for number in range(3):
                admin.xadd(stream, {"data": json.dumps({"number": number})})
        admin.xadd(TOPIC, {"data": "not JSON"})
        seen: dict[tuple[str, str], int] = {}
        nacked: Any = None
        async with RedisMessageQueueBackend(settings) as other:
            events = other.consume()
            lost = await take_one(events)
        async with RedisMessageQueueBackend(settings) as backend, Redis.from_url(role_server.url) as plain:
            events = backend.consume()
            while len(seen) < 9 or seen.get(nacked) != 2:  # the foreign stream is found by the search
                event = await take_one(events)
                key = event.stream, event.id
                seen[key] = event.deliveries
                if len(seen) == 2:
                    await anyio.sleep(2)  # renewed, and a sweep of the group
                elif nacked is None and event.deliveries == 1:
                    nacked = key
                    await event.nack(delay=5)  # longer than a lease, and than others take to look
                elif len(seen) == 5:
                    await event.bury(reason="a test")
            assert seen[lost.stream, lost.id] == 2, "given back, and taken up again"
            assert len(await peek.groups(plain, "work:foreign")) == 1
            for _ in range(150):
                admin.xadd("work:foreign", {"data": "{}"})
            await take(events, 150)

            async def trimmed() -> bool:
                return bool(admin.xlen("work:foreign") < 100)

            await until(trimmed)
            operations = Operations(backend)
            await operations.read_stream(stream="work:foreign")
            await operations.read_stream(stream="work:none", wait_seconds=0.1)
            leased = await operations.read_stream(stream="work:foreign", group="g2", create_group=True)
            await operations.ack(stream="work:foreign", group="g2", ids=[one.id for one in leased.events])
            await operations.agent_leases.give_back()
            await operations.stream_stats()

            async def buried() -> bool:
                return bool(admin.xlen(f"dead:{{{TOPIC}}}"))

            await until(buried)
    assert {one for _, one, _ in refused(role_server)} == {"info"}, "which only the server's state needs"


async def test_an_ordered_consumer_works(role_server: Server) -> None:
    settings = as_role(role_server, CONSUMER)
    with role_server.admin() as admin:
        for number in range(20):
            admin.xadd(f"work:x:p{number % 4}", {"data": json.dumps({"channel": "C1", "number": number})})
    handled: list[tuple[int, int]] = []

    async def handle(event: Event) -> None:
        handled.append((event["number"], event.deliveries))
        if event.deliveries == 1:
            raise ValueError("not at first")
        if len(handled) == 40:
            await worker.shutdown()

    async with RedisMessageQueueBackend(settings) as backend:
        worker = EventWorker(backend, handle, ordered=True, policy=lambda *_: Retry(0.01))
        await worker.run()
    assert sorted(handled) == [(number, delivery) for number in range(20) for delivery in (1, 2)]
    assert refused(role_server) == []


async def test_an_operator_resumes_a_group_that_somebody_destroyed(role_server: Server) -> None:
    async with Redis.from_url(role_server.url) as plain:
        await plain.xadd(TOPIC, {"data": "{}"})
        await ensure_group(plain, [TOPIC], "g")
        async with RedisMessageQueueBackend(as_role(role_server, OPERATOR)) as backend:
            groups = Groups(Scope(backend))
            assert (await groups.pause(TOPIC, "g")).done == "paused"
            await plain.xgroup_destroy(TOPIC, "g")
            assert (await groups.resume(TOPIC, "g")).done == "resumed"
    assert refused(role_server) == []


async def test_an_observer_can_read_everything(role_server: Server) -> None:
    with role_server.admin() as admin:
        for stream in (TOPIC, "work:a", f"dead:{{{TOPIC}}}"):
            admin.xadd(stream, {"data": json.dumps(EVENT)})
        admin.xgroup_create(TOPIC, "default", "0")
        admin.xreadgroup("default", "me", {TOPIC: ">"})
    async with RedisMessageQueueBackend(as_role(role_server, OBSERVER)) as backend:
        operations = Operations(backend)
        for stream in (TOPIC, "work:a", f"dead:{{{TOPIC}}}"):
            assert len((await operations.read_stream(stream=stream, order="oldest")).events) == 1
            assert len((await operations.read_stream(stream=stream)).events) == 1
        await operations.read_stream(stream="work:b", wait_seconds=0.1)
        leased = await operations.read_stream(stream=TOPIC, group="default", pending=True)
        assert [one.consumer for one in leased.events] == ["me"]
        stats = await operations.stream_stats()
        assert [(one.stream, one.dead_letters) for one in stats.streams] == [(TOPIC, 1), ("work:a", 0)]
        assert all(one.memory_bytes for one in stats.streams)
        await operations.stream_stats()
    # What only the server's state needs is tried once, and left out from then on.
    with role_server.admin() as admin:
        assert sorted((one["object"], one["count"]) for one in admin.acl_log()) == [("info", 2), ("set", 1)]


NOBODY_MAY = [
    "FLUSHALL",
    "KEYS *",
    "CONFIG GET *",
    "CLIENT LIST",
    "CLIENT KILL ID 1",
    "ACL LIST",
    "TYPE elsewhere",
    "XADD elsewhere * f v",
    "XREAD STREAMS elsewhere 0",
]


ONLY_AN_OPERATOR_MAY = [f"DEL {TOPIC}", f"XDEL {TOPIC} 1-1", f"XGROUP DESTROY {TOPIC} g"]


@pytest.mark.parametrize(
    ("role", "commands"),
    [
        (
            PUBLISHER,
            [
                *ONLY_AN_OPERATOR_MAY,
                f"XREADGROUP GROUP g c STREAMS {TOPIC} >",
                f"XCLAIM {TOPIC} g c 0 1-1",
                f"XGROUP CREATE {TOPIC} g 0",
                f"XADD dead:{{{TOPIC}}} * f v",
                "SCAN 0",
            ],
        ),
        (CONSUMER, [*ONLY_AN_OPERATOR_MAY, f"XADD {TOPIC} * f v", "XADD work:a * f v"]),
        (OPERATOR, ["DEL elsewhere", "XDEL elsewhere 1-1", "XGROUP DESTROY elsewhere g"]),
        (
            OBSERVER,
            [
                *ONLY_AN_OPERATOR_MAY,
                f"XADD {TOPIC} * f v",
                f"XADD dead:{{{TOPIC}}} * f v",
                f"XACK {TOPIC} g 1-1",
                f"XREADGROUP GROUP g c STREAMS {TOPIC} >",
                f"XTRIM {TOPIC} MAXLEN 0",
                f"XGROUP CREATE {TOPIC} g 0",
                "SET abe:probe x",
                "ZADD abe:streams 1 m",
                f"EVAL return 1 {TOPIC}",
            ],
        ),
    ],
)
async def test_a_role_may_do_no_more(role_server: Server, role: Role, commands: list[str]) -> None:
    async with Redis.from_url(
        role_server.url, username=f"abe-{role.name}", password=SECRET, protocol=2
    ) as redis:
        for command in (*NOBODY_MAY, *commands):
            with pytest.raises(NoPermissionError):
                await redis.execute_command(*command.split())  # type: ignore[no-untyped-call, unused-ignore]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
async def test_the_doctor_knows_a_role_by_its_rights(role_server: Server, role: Role) -> None:
    """Without ACL DRYRUN, which it may not use, and as well with it."""
    by_role = dict(zip(ROLES, [one.severity for one in await roles_of(role_server, role)], strict=True))
    plays = {
        PUBLISHER: {PUBLISHER},
        CONSUMER: {CONSUMER, OBSERVER},  # who works on events may look at them
        OPERATOR: {OPERATOR, CONSUMER, OBSERVER},
        OBSERVER: {OBSERVER},
    }[role]
    assert by_role == {one: "ok" if one in plays else "warning" for one in ROLES}
    with role_server.admin() as admin:
        admin.execute_command("ACL", "SETUSER", f"abe-{role.name}", "+acl|whoami", "+acl|dryrun")
        again = await roles_of(role_server, role)
        assert dict(zip(ROLES, [one.severity for one in again], strict=True)) == by_role
        admin.execute_command("ACL", "SETUSER", f"abe-{role.name}", "-acl", "-xlen")
    findings = await roles_of(role_server, role)
    assert "lacks +xlen." in findings[ROLES.index(role)].found
    assert SECRET not in repr(findings)


async def roles_of(server: Server, role: Role) -> list[Finding]:
    return [one for one in await examine(as_role(server, role)) if one.check == "rights"]


async def test_a_key_that_is_out_of_reach(role_server: Server) -> None:
    settings = as_role(role_server, OBSERVER, slack_events_topic="elsewhere")
    (finding,) = [one for one in await examine(settings) if "an observer" in one.found]
    assert "+xlen on elsewhere" in finding.found
    assert "%R~elsewhere" in finding.command


def test_the_security_page_has_the_acl_line_of_every_role() -> None:
    text = SECURITY.read_text(encoding="utf-8")
    for role in ROLES:
        assert role.setuser(Patterns(Settings().patterns)) + "\n" in text


def test_an_acl_line_makes_the_same_user_when_it_is_printed_as_several(servers: Servers) -> None:
    server = servers(persistent=True)
    with server.admin() as admin:
        for role in ROLES:
            line = role.setuser(Patterns((*PATTERNS, TOPIC)))
            printed = in_lines(line)
            assert len(printed) > 1
            users = []
            for commands in ([line], printed):
                for command in commands:
                    assert len(command) <= 77 or commands == [line]
                    admin.execute_command(*re.findall(r"\([^)]*\)|\S+", command))
                users.append(admin.execute_command("ACL", "GETUSER", f"abe-{role.name}"))
            assert users[0] == users[1]
    assert in_lines("") == []
    assert in_lines("CONFIG SET appendfsync always") == ["CONFIG SET appendfsync always"]


def test_the_line_of_a_role_covers_partitions() -> None:
    patterns = Patterns(("slack_events", "slack:*"), partitions=4)
    assert "~slack_events ~slack:* ~slack_events:p* ~dead:*" in CONSUMER.setuser(patterns)
