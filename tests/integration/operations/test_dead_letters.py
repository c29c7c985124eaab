"""Dead letters: how events get there and back, and how old they become."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from redis.asyncio import Redis

from abe_redis import Bury, Event, EventWorker, RedisMessageQueueBackend, Retry, Settings
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.sanitize.exceptions import describe
from tests.integration.conftest import take, until
from tests.integration.operations.buried import ALL, DEAD, TOPIC, letters, redis_url

__all__ = ["letters", "redis_url"]

BINARY = bytes(range(256))


def finished(redis: Redis, *groups: str) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        rows: Any = {row["name"].decode(): row for row in await redis.xinfo_groups(TOPIC)}
        return all(name in rows and not rows[name]["pending"] and not rows[name]["lag"] for name in groups)

    return check


async def work(worker: EventWorker, done: Callable[[], Awaitable[bool]]) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(done)
        await worker.shutdown()


async def test_poison_is_set_aside_and_goes_back_to_work(
    redis: Redis, backend: RedisMessageQueueBackend, letters: DeadLetters
) -> None:
    """Of 1000, ten cannot be decoded and ten fail; after the fix, those ten are processed, once."""
    pipeline = redis.pipeline(transaction=False)
    for number in range(1000):
        bad = number % 100 == 50
        pipeline.xadd(TOPIC, {"data": BINARY if bad else json.dumps({"n": number}), BINARY: BINARY})
    ids = await pipeline.execute()
    await redis.xgroup_create(TOPIC, "bot", "0")
    processed: Counter[int] = Counter()
    deliveries: Counter[int] = Counter()
    fixed = False

    async def handle(event: Event) -> None:
        if event["n"] % 100 == 7 and not fixed:
            raise LookupError("no such channel")
        processed[event["n"]] += 1
        deliveries[event.deliveries] += 1

    def at_once(event: Event, error: Exception) -> Retry | Bury:
        return Retry(delay=0) if event.deliveries < 5 else Bury(describe(error))

    bot: dict[str, Any] = {"group": "bot", "policy": at_once, "concurrency": 8}
    await work(EventWorker(backend, handle, **bot), finished(redis, "bot"))
    assert processed == Counter(n for n in range(1000) if n % 100 not in {7, 50})
    shown = await letters.find(TOPIC, ALL, count=100)
    assert (shown.total, shown.more) == (20, False)
    poison = [one for one in shown.letters if "not UTF-8" in one.reason]
    failing = [one for one in shown.letters if "LookupError: no such channel" in one.reason]
    assert (len(poison), len(failing)) == (10, 10)
    assert {one.group for one in shown.letters} == {"bot"}
    assert {one.deliveries for one in failing} == {5}
    assert {one.first_id for one in poison} == {ids[n].decode() for n in range(1000) if n % 100 == 50}

    fixed = True
    processed.clear()
    deliveries.clear()
    result = await letters.redrive(TOPIC, ALL)
    assert (result.redriven, result.groups, result.left) == (20, {"bot": 20}, 0)
    await work(EventWorker(backend, handle, **bot), finished(redis, "bot"))
    assert processed == Counter(range(7, 1000, 100)), "each that was fixed, once"
    assert deliveries == {1: 10}, "counted anew"
    again = await letters.find(TOPIC, ALL)
    assert sorted(one.first_id for one in again.letters) == sorted(one.first_id for one in poison)
    rows: Any = await redis.xrange(DEAD)
    assert all(fields[b"data"] == BINARY and fields[BINARY] == BINARY for _, fields in rows)
    assert all(b"abe:only" not in fields and b"abe:first" not in fields for _, fields in rows)


async def test_an_event_that_was_given_up_twice_goes_back_once(
    redis: Redis, backend: RedisMessageQueueBackend, letters: DeadLetters
) -> None:
    """A replay lets an event fail a second time; another group's dead letter of it goes back as well."""
    first = (await backend.publish_event(TOPIC, {"n": 1})).id
    seen = list[str]()

    async def handle(event: Event) -> None:
        seen.append(event.group)

    def never(_: Event, error: Exception) -> Bury:
        return Bury(describe(error))

    async def fail(event: Event) -> None:
        raise LookupError(event.id)

    for group in ("bot", "audit"):
        await work(EventWorker(backend, fail, group=group, policy=never), finished(redis, group))
    await redis.xgroup_setid(TOPIC, "bot", "0")
    await work(EventWorker(backend, fail, group="bot", policy=never), finished(redis, "bot"))
    found = (await letters.find(TOPIC, ALL)).letters
    assert sorted(one.group or "" for one in found) == ["audit", "bot", "bot"]
    assert {one.first_id for one in found} == {first}
    (older, newer) = sorted(one.id for one in found if one.group == "bot")

    would = await letters.redrive(TOPIC, ALL, dry_run=True)
    done = await letters.redrive(TOPIC, ALL)
    for result in (would, done):
        assert (result.redriven, result.groups, result.same_event) == (2, {"bot": 1, "audit": 1}, 1)
    assert would.left == done.left == 1, "what is left afterwards, in both"
    assert [one.id for one in (await letters.find(TOPIC, ALL)).letters] == [older] != [newer]
    for group in ("bot", "audit"):
        await work(EventWorker(backend, handle, group=group), finished(redis, group))
    assert Counter(seen) == {"bot": 1, "audit": 1}


async def test_dead_letters_have_an_age_limit_when_one_is_set(redis: Redis, either_url: str) -> None:
    now: Any = await redis.time()
    for days in (40, 35, 20, 0):
        await redis.xadd(DEAD, {"data": "{}"}, id=f"{(now[0] - days * 86_400) * 1000}-1")
    await redis.xadd(TOPIC, {"data": "{}"})
    settings = Settings(redis_url=either_url, redis_stream_dead_days=30, redis_stream_lease_seconds=0.5)
    async with RedisMessageQueueBackend(settings) as backend, backend.consume() as events:
        await take(events, 1)

        async def two_left() -> bool:
            return await redis.xlen(DEAD) == 2

        await until(two_left)
    kept: Any = await redis.xrange(DEAD)
    assert int(kept[0][0].partition(b"-")[0]) == (now[0] - 20 * 86_400) * 1000
