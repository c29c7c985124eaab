"""One unfinished entry at the head of a stream keeps finished ones: it is named, and what helps."""

from typing import Any

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.doctor import Finding
from abe_redis.inspection.stats import stream_stats
from tests.command_line import run_command
from tests.integration.doctor.findings import TOPIC, found
from tests.servers import Server

ENTRIES = 300


def fill(admin: Any, *, acked: int) -> list[str]:
    """A worker that holds the first entry; it has finished so many behind it."""
    admin.xgroup_create(TOPIC, "bot", "0", mkstream=True)
    for _ in range(ENTRIES):
        admin.xadd(TOPIC, {"data": "x" * 2000})
    ((_, rows),) = admin.xreadgroup("bot", "hung", {TOPIC: ">"}, count=acked + 1)
    ids = [str(one, "ascii") if isinstance(one, bytes) else one for one, _ in rows]
    if acked:
        admin.xack(TOPIC, "bot", *ids[1:])
    return ids


async def held(server: Server) -> Finding:
    """What holds the memory of the server, which is full from now on."""
    with server.admin() as admin:
        admin.config_set("maxmemory", admin.info("memory")["used_memory"] // 2)
    (finding,) = await found(server, "holders")
    return finding


async def test_the_entry_that_keeps_finished_ones_is_named_and_a_cure_that_helps(
    redis_url: str, server: Server
) -> None:
    with server.admin() as admin:
        (first, *_) = fill(admin, acked=ENTRIES - 1)
        finding = await held(server)
        assert "group 'bot' has 1 pending and 0 undelivered. " in finding.found
        assert f"Entry {first}, held by 'hung' for 0 s, keeps 299 finished entries behind it" in finding.found
        assert "Add consumers" not in finding.advice
        advised = f"abe-redis ack {TOPIC} {first} --group bot --consumer hung"
        assert finding.advice.startswith("Restart that worker; or, if nobody needs that event any more")
        assert f"`{advised}`" in finding.advice
        done = run_command(*advised.split()[1:], env={"REDIS_URL": redis_url})
        assert done.returncode == 0, done.stderr
        over = await held(server)
        assert "All of it is finished" in over.advice


async def test_more_consumers_are_advised_while_most_is_unfinished(redis_url: str, server: Server) -> None:
    with server.admin() as admin:
        fill(admin, acked=ENTRIES // 3)
    finding = await held(server)
    assert "Add consumers" in finding.advice
    assert "keeps" not in finding.found


async def test_without_a_worker_one_is_started_and_the_entry_is_named(redis_url: str, server: Server) -> None:
    with server.admin() as admin:
        (first, *_) = fill(admin, acked=ENTRIES - 1)
        admin.xclaim(TOPIC, "bot", "abe:nobody", 0, [first], justid=True)
        admin.xgroup_delconsumer(TOPIC, "bot", "hung")
    finding = await held(server)
    look = f"`abe-redis read {TOPIC} --group bot --waiting` shows where it is"
    assert f"Entry {first} ({look}) keeps 299 finished entries" in finding.found
    assert finding.advice == "Start a worker:"


async def test_a_stream_above_its_bound_names_it_too(redis_url: str, server: Server) -> None:
    with server.admin() as admin:
        (first, *_) = fill(admin, acked=ENTRIES - 1)
    async with RedisMessageQueueBackend(Settings(redis_url=redis_url)) as backend:
        commands = (await backend.connections()).commands
        for bound in ({"redis_stream_maxlen": 50}, {"redis_stream_hard_maxlen": ENTRIES}):
            stats = await stream_stats(commands, TOPIC, Settings(redis_url=redis_url, **bound))
            assert stats is not None
            assert f"Entry {first}, held by 'hung' for 0 s, keeps 299 finished entries" in stats.advice
            assert "backlog" not in stats.advice
            assert "add consumers" not in stats.advice.lower()


async def test_with_another_group_the_number_is_the_least(redis_url: str, server: Server) -> None:
    with server.admin() as admin:
        fill(admin, acked=ENTRIES - 1)
        admin.xgroup_create(TOPIC, "other", "0")
        ((_, rows),) = admin.xreadgroup("other", "c", {TOPIC: ">"}, count=ENTRIES - 10)
        admin.xack(TOPIC, "other", *[one for one, _ in rows])
    async with RedisMessageQueueBackend(Settings(redis_url=redis_url)) as backend:
        commands = (await backend.connections()).commands
        stats = await stream_stats(commands, TOPIC, Settings(redis_url=redis_url, redis_stream_maxlen=50))
        assert stats is not None
        assert "keeps at least 289 finished entries behind it" in stats.advice
