"""Changes of which a part is done when the rest fails: the answer and the audit have it."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend
from abe_redis.errors import AbeRedisError
from abe_redis.operations import given_up
from abe_redis.operations.erasure import erase
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams.names import INDEX
from tests.integration.client.proxied import lone_redis, proxy, settings
from tests.integration.conftest import pending, until
from tests.integration.operations.test_lost_answers import Queue, lose, names, warm
from tests.patience import PATIENCE
from tests.refusing_proxy import RefusingProxy

__all__ = ["lone_redis", "proxy"]

pytestmark = pytest.mark.one_server

TOPIC, GROUP = "slack_events", "bot"


async def finished(redis: Redis, count: int) -> list[str]:
    """Events that a group has finished."""
    added: Any = [await redis.xadd(TOPIC, {"data": f'{{"n": {number}}}'}) for number in range(count)]
    ids: list[str] = [one.decode() for one in added]
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await redis.xreadgroup(GROUP, "somebody", {TOPIC: ">"})
    await redis.xack(TOPIC, GROUP, *ids)
    return ids


async def test_a_replay_that_fails_says_how_far_it_came(proxy: RefusingProxy, lone_redis: Redis) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        ids = await finished(lone_redis, 250)
        await warm(backend, "replay")
        is_replay, left = names("replay"), [2]

        def refuse(words: Sequence[bytes]) -> bytes | None:
            left[0] -= is_replay(words)
            is_refused = is_replay(words) and left[0] < 0
            return b"-NOREPLICAS Not enough good replicas to write.\r\n" if is_refused else None

        proxy.refusal = refuse
        with pytest.raises(AbeRedisError, match="NOREPLICAS") as told:
            await Groups(Scope(backend, origin="cli")).replay(TOPIC, GROUP)
        done = f"Done before that: 200 events replayed, up to {ids[199]}: go on from there."
        assert done in str(told.value)
        proxy.refusal = lambda _: None
        (newest,) = await Queue(backend).changes()
        facts = newest.facts
        assert (newest.what, facts["events"], facts["reached"]) == ("group replay", 200, ids[199])
        assert await pending(lone_redis, TOPIC, GROUP) == 200


@pytest.mark.parametrize("what", ["pause", "resume", "create"])
async def test_a_changed_group_of_which_nobody_is_told_is_recorded(
    proxy: RefusingProxy, lone_redis: Redis, what: str
) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        groups = Groups(Scope(backend, origin="cli"))
        await finished(lone_redis, 1)
        if what == "resume":
            await groups.pause(TOPIC, GROUP)
        await warm(backend, "announce")
        is_it = names("announce")
        proxy.refusal = lambda words: b"-NOREPLICAS Not enough.\r\n" if is_it(words) else None
        stream = "slack:new" if what == "create" else TOPIC

        async def change() -> str:
            if what == "create":
                return (await groups.create(stream, GROUP, create_stream=True)).done
            return (await (groups.pause if what == "pause" else groups.resume)(stream, GROUP)).done

        with pytest.raises(AbeRedisError, match="NOREPLICAS") as told:
            await change()
        assert f"Done before that: the group 'bot' is {what.removesuffix('e')}" in str(told.value)
        proxy.refusal = lambda _: None
        (newest,) = await Queue(backend).changes()
        assert (newest.what, newest.facts["stream"]) == (f"group {what}", stream)
        if what != "create":
            await lone_redis.delete(INDEX)
            assert await change() == "nothing"
            assert await lone_redis.zscore(INDEX, TOPIC), "said again, it tells the consumers"


async def test_an_erasure_whose_answer_is_lost_waits_for_the_workers_all_the_same(
    proxy: RefusingProxy, lone_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_up, "MOST_SECONDS", PATIENCE)
    began, may_end = list[int](), anyio.Event()

    async def handle(event: Event) -> None:
        began.append(event["n"])
        if event["n"] >= 60:
            await may_end.wait()

    async def has_read_ahead() -> bool:
        if not began or max(began) < 61:
            return False
        summary: Any = await lone_redis.xpending(TOPIC, "default")
        return bool(summary["pending"] > 3)

    async def is_over() -> bool:
        (group,) = await lone_redis.xinfo_groups(TOPIC)
        return not (group["pending"] or group["lag"])

    async with RedisMessageQueueBackend(settings(proxy, redis_stream_lease_seconds=60)) as backend:
        payloads = [{"type": "message", "n": n, "user": "U1" if n >= 60 else "U2"} for n in range(120)]
        await backend.publish_many(TOPIC, payloads)
        worker = EventWorker(backend, handle, concurrency=2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until(has_read_ahead)
            await warm(backend, "erase")
            lose(proxy, "erase")
            result = await erase(Scope(backend), user="U1")
            before = list(began)
            may_end.set()
            await until(is_over)
            await worker.shutdown()
    assert [one.erased for one in result.streams] == [60]
    assert "An answer was lost, so more of the events may have been unfinished" in result.note
    assert "Not confirmed" not in result.note
    assert began == before, "none begins one after the answer"
