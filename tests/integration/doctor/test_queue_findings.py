"""What the doctor finds in the queue: backlogs, dead letters, streams that nobody reads."""

import anyio
import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.doctor import Finding
from abe_redis.streams import names
from tests.integration.client import states
from tests.integration.conftest import until
from tests.integration.doctor.findings import EVENT, TOPIC, found, the_only
from tests.servers import Server, Servers


async def test_a_key_of_another_type(redis_url: str, server: Server) -> None:
    with server.admin() as admin:
        admin.set(TOPIC, "x")
        admin.set("slack:cache", "x")  # matches a glob, and does no harm
    finding = await the_only(server, "keys", "problem")
    assert f"{TOPIC!r} is a string" in finding.found


async def test_faults_of_a_stream_are_found(redis_url: str, server: Server) -> None:
    lease = {"redis_stream_lease_seconds": 0.5}
    with server.admin() as admin:
        for _ in range(3):
            admin.xadd(TOPIC, {"data": "{}"})
        finding = await the_only(server, "streams", "warning", **lease)
        assert finding.found == "Stream 'slack_events' with 3 entries: unread."

        admin.xgroup_create(TOPIC, "odd group\n", "0")
        stalled = await the_only(server, "streams", "problem", **lease)
        assert (
            "no consumer is alive: start a worker (`abe-redis worker MODULE:HANDLER --group "
            in stalled.advice
        )
        assert "not trimmed until it has been unused for 7 days" in stalled.advice
        assert stalled.command == r"abe-redis worker MODULE:HANDLER --group $'odd\x20group\x0a'"
        assert "--force" not in stalled.advice

        admin.xreadgroup("odd group\n", "gone", {TOPIC: ">"})
        await anyio.sleep(0.6)
        gone = await the_only(server, "streams", "problem", **lease)
        assert "Consumer 'gone' of group 'odd group\\n' holds 3 events" in gone.advice

        few_above = await found(server, "streams", **lease | {"redis_stream_maxlen": 1})
        assert not [one for one in few_above if "bound" in one.found]


async def test_each_of_several_groups_is_told_once_the_worst_first(redis_url: str, server: Server) -> None:
    with server.admin() as admin:
        entries = [admin.xadd(TOPIC, {"data": "{}"}) for _ in range(3)]
        for name, start in (("a", entries[1]), ("b", "0"), ("c", entries[2])):
            admin.xgroup_create(TOPIC, name, start)
        admin.xadd(f"dead:{{{TOPIC}}}", {"data": "{}"})
        stream, *groups = await found(server, "streams")
    assert stream.severity == "problem"
    assert stream.found == "Stream 'slack_events' with 3 entries: stalled."
    assert stream.advice.startswith("1 dead letter:")
    assert [(one.severity, one.found[:9]) for one in groups] == [
        ("problem", "Group 'b'"),
        ("problem", "Group 'a'"),
    ]
    for one, name in zip(groups, "ba", strict=True):
        assert one.found.count("Group") == 1
        assert one.found.endswith("not trimmed until it has been unused for 7 days.")
        assert one.command == f"abe-redis worker MODULE:HANDLER --group {name}"


async def test_a_backlog(redis_url: str, server: Server) -> None:
    with server.admin() as admin:
        for long_ago in ("1-1", "1-2"):
            admin.xadd(TOPIC, {"data": "{}"}, id=long_ago)
        admin.xgroup_create(TOPIC, "default", "0")
        admin.xreadgroup("default", "me", {TOPIC: ">"}, count=1)
    finding = await the_only(server, "streams", "warning")
    assert finding.found.endswith(": backlog.")
    assert "add consumers" in finding.advice


async def test_a_stream_over_its_bound(redis_url: str, server: Server) -> None:
    bound = {"redis_stream_maxlen": 100}
    with server.admin() as admin:
        for _ in range(301):
            admin.xadd(TOPIC, {"data": "{}"})
        admin.xgroup_create(TOPIC, "slow", "0")
        admin.xreadgroup("slow", "me", {TOPIC: ">"}, count=1)
        working, over = await found(server, "streams", **bound)
        assert working.severity == "ok"
        assert "'slow' has not finished them" in over.found
        assert over.severity == "warning"
        admin.xgroup_destroy(TOPIC, "slow")
        admin.xgroup_create(TOPIC, "done", "$")
        _, over = await found(server, "streams", **bound)
        assert "nobody has trimmed it" in over.found


async def test_dead_letters(redis_url: str, server: Server) -> None:
    with server.admin() as admin:
        admin.xadd(TOPIC, {"data": "{}"})
        admin.xgroup_create(TOPIC, "default", "$")
        admin.xadd(f"dead:{{{TOPIC}}}", {"data": "{}"})
    finding = await the_only(server, "streams", "warning")
    assert "1 dead letter:" in finding.advice


@pytest.mark.parametrize("stream", ["elsewhere", "team:{a}:b", "event:x"])
async def test_a_stream_that_nobody_reads(redis_url: str, server: Server, stream: str) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=redis_url)) as backend:
        await backend.publish(stream, EVENT)
        await backend.publish(stream, {"type": "event_callback", "event_id": "Ev1", "event": EVENT})
        await backend.publish(TOPIC, EVENT)
    finding = await the_only(server, "unread", "warning")
    assert repr(stream) in finding.found
    assert "REDIS_STREAM_PATTERNS" in finding.advice
    await the_only(server, "unread", "ok", redis_stream_patterns=stream, slack_events_topic=TOPIC)
    with server.admin() as admin:
        admin.xgroup_create(stream, "others", "0")
    await the_only(server, "unread", "ok")


async def test_a_dead_consumer_beside_a_live_one_is_a_warning(redis_url: str, server: Server) -> None:
    with server.admin() as admin:
        admin.xadd(TOPIC, {"data": "{}"})
        admin.xgroup_create(TOPIC, "bot", "0")
        admin.xreadgroup("bot", "gone", {TOPIC: ">"})
        admin.hset(names.leases(TOPIC, "bot"), "gone", "500 1")  # not to wait for 30 s
        admin.xgroup_createconsumer(TOPIC, "bot", "here")

    async def is_silent() -> Finding | None:
        (finding,) = await found(server, "streams")
        return finding if finding.severity == "warning" else None

    finding = await until(is_silent)
    assert finding.found.endswith("with 1 entry: working.")
    assert "Consumer 'gone' of group 'bot' holds 1 event, " in finding.advice
    assert "and has been silent for" in finding.advice


async def test_no_finding_says_that_nobody_works_while_nobody_can_show_it(servers: Servers) -> None:
    server = servers()
    with server.admin() as admin:
        for _ in range(1000):
            admin.xadd(TOPIC, {"data": "x" * 2000})
        admin.xgroup_create(TOPIC, "bot", "0")
        admin.config_set("maxmemory", round(admin.info("memory")["used_memory"] / 0.85))
    with states.without_replicas(server):
        (stream,) = await found(server, "streams")
        (holder,) = await found(server, "holders")
    assert "nobody can tell whether a worker of it lives" in stream.advice
    assert holder.advice == "What is finished is removed: look again when Redis takes writes."
    assert stream.command == holder.command == ""
