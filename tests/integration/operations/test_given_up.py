"""What a person takes from a group is not begun afterwards, also by workers that have read it ahead."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend
from abe_redis.operations import audit, given_up
from abe_redis.operations.erasure import erase
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams import names
from tests.integration.conftest import MakeBackend, until
from tests.integration.consuming.foreign_hands import KINDS, STREAM, is_finished, pending, working
from tests.patience import PATIENCE

GROUP = "default"
FAST, ALL = 60, 120


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that lives confirms, however long that takes on a busy machine."""
    monkeypatch.setattr(given_up, "MOST_SECONDS", PATIENCE)


class Handler:
    """It is fast, so that its worker reads ahead; then each call waits until it may end."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.done: list[int] = []
        self.cancelled: list[int] = []
        self.failing = set[int]()
        self.may_end = anyio.Event()

    async def __call__(self, event: Event) -> None:
        number = event["n"]
        self.began.append(number)
        if number >= FAST:
            try:
                await self.may_end.wait()
            except anyio.get_cancelled_exc_class():
                self.cancelled.append(number)
                raise
        if number in self.failing:
            raise ValueError(number)
        self.done.append(number)


class Night:
    """A worker with two handlers at work, and events that it has read ahead."""

    def __init__(self, backend: RedisMessageQueueBackend, redis: Redis) -> None:
        self.backend = backend
        self.redis = redis
        self.scope = Scope(backend)
        self.handler = Handler()
        self.at_work: list[int] = []
        self.ahead: dict[int, str] = {}
        self.consumer = ""

    async def settle(self) -> None:
        """Wait until the worker does not begin more by itself."""

        async def has_read_ahead() -> bool:
            self.at_work = [n for n in self.handler.began if n >= FAST]
            if len(self.at_work) < 2:
                return False
            numbers = await self.numbers()
            rows = await pending(self.redis)
            self.ahead = {numbers[one]: one for one in rows if numbers[one] >= FAST}
            self.consumer = next((row["consumer"].decode() for row in rows.values()), "")
            for number in self.at_work:
                self.ahead.pop(number, None)
            is_acked = all(numbers[one] >= FAST for one in rows)
            return is_acked and len(self.ahead) > 1

        await until(has_read_ahead)

    async def numbers(self) -> dict[str, int]:
        entries: Any = await self.redis.xrange(STREAM)
        return {
            one.decode(): int(fields[b"data"].split(b'"n":')[1].split(b",")[0]) for one, fields in entries
        }

    async def end(self) -> None:
        self.handler.may_end.set()

        async def is_over() -> bool:
            return await is_finished(self.redis)

        await until(is_over)


@asynccontextmanager
async def night(make_backend: MakeBackend, redis: Redis, *, ordered: bool) -> AsyncIterator[Night]:
    backend = make_backend(redis_stream_lease_seconds=60, redis_stream_max_deliveries=2)
    one = Night(backend, redis)
    await backend.publish_many(
        STREAM,
        [
            {
                "type": "event_callback",
                "event_id": f"Ev{n}",
                "n": n,
                "event": {"type": "message", "channel": f"C{n % 40}", "user": "U1" if n % 3 else "U2"},
            }
            for n in range(ALL)
        ],
    )
    async with working(EventWorker(backend, one.handler, concurrency=2, ordered=ordered)):
        await one.settle()
        yield one
        one.handler.may_end.set()


@pytest.mark.promise("Each worker looks about once a second whether somebody has")
@pytest.mark.promise("`erase`, `group reset` and `group create` answer when")
@KINDS
async def test_what_was_erased_is_not_begun(make_backend: MakeBackend, redis: Redis, ordered: bool) -> None:
    async with night(make_backend, redis, ordered=ordered) as one:
        erased = await erase(one.scope, user="U1")
        assert "Not confirmed" not in erased.note
        await one.end()
        assert [n for n in one.handler.began if n % 3 and n >= FAST and n not in one.at_work] == []
        assert one.handler.cancelled == []
        assert {n for n in range(FAST, ALL) if not n % 3} <= set(one.handler.done)
        assert set(one.at_work) <= set(one.handler.done)


@pytest.mark.promise("Handlers that work on them go on; what a reset has given up")
@KINDS
@pytest.mark.parametrize("fails", [False, True], ids=["well", "fails"])
async def test_what_a_reset_gave_up_is_not_begun(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture, ordered: bool, fails: bool
) -> None:
    async with night(make_backend, redis, ordered=ordered) as one:
        groups = Groups(one.scope)
        change = await groups.reset(STREAM, GROUP, start="now", force=True)
        assert "Not confirmed" not in change.note
        assert change.events == 2 + len(one.ahead) + ALL - max(*one.ahead, *one.at_work) - 1
        if fails:
            one.handler.failing.update(one.at_work)
        await one.backend.publish(
            STREAM, {"type": "event_callback", "event_id": "EvX", "n": ALL, "event": {}}
        )
        one.handler.may_end.set()

        async def has_the_new() -> bool:
            return ALL in one.handler.done

        await until(has_the_new)
        await until(lambda: is_finished(redis))
        assert [n for n in one.handler.began if n >= FAST] == [*one.at_work, ALL]
        assert one.handler.cancelled == []
        assert set(one.at_work) <= set(one.handler.done) or fails
        assert not await pending(redis)
    assert not [line for line in caplog.messages if "Put back" in line]


@KINDS
async def test_what_a_reset_gave_up_is_not_begun_by_a_worker_whose_consumer_somebody_removed(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    async with night(make_backend, redis, ordered=ordered) as one:
        await redis.xgroup_delconsumer(STREAM, GROUP, one.consumer)
        change = await Groups(one.scope).reset(STREAM, GROUP, start="now", force=True)
        assert "Not confirmed" not in change.note
        assert change.events == 2 + len(one.ahead) + ALL - max(*one.ahead, *one.at_work) - 1
        one.handler.may_end.set()
        await until(lambda: is_finished(redis))
        assert [n for n in one.handler.began if n >= FAST] == one.at_work
        assert not await pending(redis)


@KINDS
async def test_what_a_reset_sets_back_comes_again(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    async with night(make_backend, redis, ordered=ordered) as one:
        change = await Groups(one.scope).reset(STREAM, GROUP, start="beginning", force=True)
        assert "Not confirmed" not in change.note
        await one.end()
        assert set(one.handler.done) == set(range(ALL))


async def ack(operations: Operations, one: Night, ids: list[str]) -> list[str]:
    return (await operations.ack(stream=STREAM, group=GROUP, ids=ids, consumer=one.consumer)).acked


async def bury(operations: Operations, one: Night, ids: list[str]) -> list[str]:
    result = await operations.release(stream=STREAM, group=GROUP, ids=ids, consumer=one.consumer, bury="bad")
    return result.buried


async def postpone(operations: Operations, one: Night, ids: list[str]) -> list[str]:
    result = await operations.release(
        stream=STREAM, group=GROUP, ids=ids, consumer=one.consumer, delay_seconds=3600
    )
    return result.released


@pytest.mark.promise("`ack` and `release` do not wait")
@KINDS
@pytest.mark.parametrize("settle", [ack, bury, postpone])
async def test_what_a_person_settled_is_not_begun(
    make_backend: MakeBackend,
    redis: Redis,
    ordered: bool,
    settle: Callable[[Operations, Night, list[str]], Awaitable[list[str]]],
) -> None:
    async with night(make_backend, redis, ordered=ordered) as one:
        taken = sorted(one.ahead)[:2]
        ids = [one.ahead[n] for n in taken]
        assert await settle(Operations(one.backend), one, ids) == ids

        async def is_confirmed() -> bool:
            return not await redis.hget(names.records(STREAM), f"taken {GROUP}")

        await until(is_confirmed)
        one.handler.may_end.set()
        following = [n for n in range(FAST, ALL) if n not in taken]
        if settle is postpone and ordered:  # those behind it in its conversation wait, too
            following = [n for n in following if n % 40 not in {one % 40 for one in taken}]

        async def all_done() -> bool:
            return set(following) <= set(one.handler.done)

        await until(all_done)
        assert not set(taken) & set(one.handler.began)

        async def rest_is_finished() -> bool:
            return settle is postpone or not await pending(redis)

        await until(rest_is_finished)
        assert set(ids) <= set(await pending(redis)) or settle is not postpone


@KINDS
async def test_what_is_given_back_by_hand_is_handled_once(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    async with night(make_backend, redis, ordered=ordered) as one:
        ids = [*one.ahead.values()][:2]
        result = await Operations(one.backend).release(
            stream=STREAM, group=GROUP, ids=ids, consumer=one.consumer
        )
        assert result.released == ids
        await one.end()
        assert sorted(one.handler.done) == list(range(ALL))


@pytest.mark.promise("A person can also take events from workers that have read them ahead")
async def test_a_destroyed_group_that_is_made_elsewhere_gives_up_what_workers_hold(
    make_backend: MakeBackend, redis: Redis
) -> None:
    async with night(make_backend, redis, ordered=True) as one:

        async def is_listed() -> bool:
            known: Any = await redis.hget(names.records(STREAM), f"known {GROUP}")
            return known is not None and one.consumer in known.decode().splitlines()

        await until(is_listed)
        await redis.xgroup_destroy(STREAM, GROUP)
        change = await Groups(one.scope).create(STREAM, GROUP, start="now", force=True)
        assert change.done == "created"
        assert "Not confirmed" not in change.note
        one.handler.may_end.set()
        await one.backend.publish(
            STREAM, {"type": "event_callback", "event_id": "EvX", "n": ALL, "event": {}}
        )

        async def has_the_new() -> bool:
            return ALL in one.handler.done

        await until(has_the_new)
        assert [n for n in one.handler.began if n >= FAST] == [*one.at_work, ALL]


async def test_a_consumer_that_does_not_confirm_is_named(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_up, "MOST_SECONDS", 0.2)
    backend = make_backend()
    scope = Scope(backend)
    for _ in range(3):
        await backend.publish(STREAM, {"type": "event_callback", "event": {"user": "U1", "type": "message"}})
    await redis.xgroup_create(STREAM, GROUP, "0")
    await redis.xreadgroup(GROUP, "frozen", {STREAM: ">"}, count=2)
    change = await Groups(scope).reset(STREAM, GROUP, start="now", force=True)
    assert "Not confirmed within 0.2 seconds by frozen: a worker of that name" in change.note
    assert (change.events, change.is_all) == (3, True)
    await Groups(scope).reset(STREAM, GROUP, start="beginning")
    await redis.xreadgroup(GROUP, "frozen", {STREAM: ">"})
    assert "Not confirmed within 0.2 seconds by frozen" in (await erase(scope, user="U1")).note


async def test_the_audit_has_how_many_were_given_up_or_says_that_there_are_more(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make_backend()
    groups = Groups(Scope(backend, origin="cli"))
    await backend.publish_many(STREAM, [{"n": number} for number in range(150)])
    await groups.create(STREAM, GROUP)
    dry = await groups.reset(STREAM, GROUP, start="now", force=True, dry_run=True)
    change = await groups.reset(STREAM, GROUP, start="now", force=True)
    assert (dry.events, change.events) == (150, 150)
    assert "It let go of 150 undelivered events." in change.note
    monkeypatch.setattr("abe_redis.streams.manage.MOST_COUNTED", 10)
    found: Any = await redis.xrange(STREAM, count=4)
    await redis.xgroup_setid(STREAM, GROUP, found[3][0])
    change = await groups.reset(STREAM, GROUP, start="now", force=True)
    assert "It let go of 10 or more undelivered events." in change.note
    assert (change.events, change.is_all) == (10, False)
    changes = (await audit.changes(Scope(backend), count=10)).changes
    said = [one.facts["events"] for one in changes if one.what == "group reset"]
    assert said == ["10 or more", 150]


@KINDS
async def test_the_log_says_what_somebody_may_have_done(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture, ordered: bool
) -> None:
    async with night(make_backend, redis, ordered=ordered) as one:
        await redis.xack(STREAM, GROUP, *one.ahead.values())

        async def is_said() -> bool:
            return any("acknowledged them by hand (XACK)" in line for line in caplog.messages)

        await until(is_said)
        await one.end()
        assert set(one.handler.done) == set(range(ALL))
