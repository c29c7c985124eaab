"""What happens to the server, a stream or a group while ordered workers work."""

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams import manage
from tests.integration.conftest import MakeBackend
from tests.integration.consuming.ordered.logged_workers import (
    TOPIC,
    Log,
    at_work,
    owners,
    publish,
    until_equal,
    until_true,
    worker,
)
from tests.servers import Server


async def test_a_paused_group_is_let_go_and_taken_up_again(make_backend: MakeBackend, redis: Redis) -> None:
    backend, log = make_backend(), Log()
    groups = Groups(Scope(backend))
    await publish(backend, "A", 0)
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 1)
        await groups.pause(TOPIC, "default")
        await until_equal(lambda: owners(redis), {})
        await publish(backend, "A", 1)
        await anyio.sleep(1)
        assert log.ended["A"] == [0]
        await groups.resume(TOPIC, "default")
        await log.all_ended("A", 2)


@pytest.mark.parametrize("by", ["our reset", "XGROUP SETID"])
async def test_what_a_group_is_made_to_skip_is_skipped(
    make_backend: MakeBackend, redis: Redis, by: str
) -> None:
    backend, log = make_backend(), Log()
    log.gates["A"] = anyio.Event()
    await publish(backend, "A", *range(1500))  # of which it reads some thousand ahead
    async with at_work(worker(backend, log)):
        await until_true(lambda: log.began["A"])
        if by == "our reset":
            await manage.reset(redis, TOPIC, "default", "$", force=True)
        else:
            await redis.xgroup_setid(TOPIC, "default", "$")
        await publish(backend, "A", 1500)
        log.gates["A"].set()
        await until_true(lambda: 1500 in log.ended["A"])
    assert not {*range(1200, 1500)} & {*log.ended["A"]}


async def test_a_deleted_stream_starts_anew(make_backend: MakeBackend, redis: Redis) -> None:
    backend, log = make_backend(), Log()
    await publish(backend, "A", 0)
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 1)
        await redis.delete(TOPIC)
        await publish(backend, "A", 1, 2)
        await log.all_ended("A", 3)
    assert log.ended["A"] == [0, 1, 2]


@pytest.mark.promise("Of a stream that is gone, each worker that had read it says so.")
@pytest.mark.parametrize("how", ["DEL", "RENAME"])
@pytest.mark.parametrize("ordered", [False, True])
async def test_a_stream_that_is_gone_is_said_to_be_gone_and_holds_up_no_other(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture, how: str, *, ordered: bool
) -> None:
    backend, log = make_backend(redis_stream_lease_seconds=1), Log()
    other = "slack:other"
    await publish(backend, "A", 0)
    await backend.publish(other, {"channel": "B", "n": 0})
    async with at_work(worker(backend, log, ordered=ordered)):
        await log.all_ended("A", 1)
        await log.all_ended("B", 1)
        await (redis.delete(TOPIC) if how == "DEL" else redis.rename(TOPIC, "old"))
        await anyio.sleep(3)  # for some tries
        await backend.publish(other, {"channel": "B", "n": 1})
        await log.all_ended("B", 2)
        await publish(backend, "A", 1)
        await log.all_ended("A", 2)
    (said,) = [one for one in caplog.messages if "is gone" in one]
    assert said == (
        f"The stream {TOPIC!r} is gone: somebody deleted or renamed it, or Redis evicted it. Group 'default' "
        "reads it again once it has an event."
    )
    assert "refused" not in caplog.text


@pytest.mark.promise("Redis cannot be reached for nine tenths of a lease")
async def test_when_redis_is_away_for_long_handlers_are_cancelled(
    make_backend: MakeBackend, own_server: Server
) -> None:
    backend = make_backend(redis_url=own_server.url, redis_stream_lease_seconds=1)
    log = Log()
    log.gates["A"] = anyio.Event()
    await publish(backend, "AB", 1, 2)
    async with at_work(worker(backend, log)):
        await until_true(lambda: log.began["A"] and len(log.ended["B"]) == 2)
        before = len(log.cancelled)  # a busy machine may have stood still for as long
        own_server.freeze()
        try:
            await until_true(lambda: len(log.cancelled) > before)
        finally:
            own_server.thaw()
        log.gates["A"].set()
        await log.all_ended("A", 2)
    assert set(log.cancelled) == {1}
    assert log.ended["A"] == [1, 2]


async def test_a_server_that_forgets_everything(make_backend: MakeBackend, own_server: Server) -> None:
    backend, log = make_backend(redis_url=own_server.url, redis_stream_lease_seconds=2), Log()
    await publish(backend, "A", 1)
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 1)
        with own_server.admin() as client:
            client.flushall()
        await publish(backend, "A", 2, 3)
        await log.all_ended("A", 3)
    assert log.ended["A"] == [1, 2, 3]
