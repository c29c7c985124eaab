"""The promises of consuming, through the public doors."""

from collections import Counter

import anyio
import pytest

from tests.contract.conftest import Backend, Make
from tests.contract.taking import TOPIC, none_comes, take
from tests.patience import PATIENCE


async def test_events_published_before_come_in_order(backend: Backend) -> None:
    await backend.publish_many(TOPIC, [{"n": number} for number in range(50)])
    async with backend.consume() as events:
        found = await take(events, 50)
    assert [event["n"] for event in found] == list(range(50))
    assert {(event.stream, event.group, event.deliveries) for event in found} == {(TOPIC, "default", 1)}


async def test_only_streams_that_match_are_read(make: Make) -> None:
    backend = make(redis_stream_patterns="slack:*")
    await backend.publish("elsewhere", {"n": 1})
    await backend.publish("slack:a", {"n": 2})
    async with backend.consume() as events:
        (event,) = await take(events)
        assert event["n"] == 2
        assert await none_comes(events)


async def test_asking_for_the_next_acks_the_one_before(make: Make) -> None:
    backend = make()
    await backend.publish_many(TOPIC, [{"n": 1}, {"n": 2}])
    async with backend.consume() as events:
        await take(events, 2)
    async with make().consume() as events:
        (event,) = await take(events)
        assert (event["n"], event.deliveries) == (2, 2)
        await event.bury(reason="enough")
        assert await none_comes(events)


@pytest.mark.promise("Each group processes an accepted event at least once.")
async def test_groups_get_each_event_and_members_share_them(make: Make) -> None:
    await make().publish_many(TOPIC, [{"n": number} for number in range(30)])
    seen: dict[str, Counter[int]] = {"a": Counter(), "b": Counter()}

    async def work(group: str) -> None:
        async with make().consume(group=group) as events:
            async for event in events:
                seen[group][event["n"]] += 1

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for group in ("a", "a", "b"):
                tasks.start_soon(work, group)
            while any(counts.total() < 30 for counts in seen.values()):
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
    assert all(counts == dict.fromkeys(range(30), 1) for counts in seen.values())


async def test_a_consumer_that_waits_is_woken(make: Make) -> None:
    backend = make()
    async with backend.consume() as events, anyio.create_task_group() as tasks:
        tasks.start_soon(make().publish, TOPIC, {"n": 1})
        (event,) = await take(events)
        assert event == {"n": 1}


async def test_two_tasks_cannot_ask_the_same(backend: Backend) -> None:
    async with backend.consume() as events, anyio.create_task_group() as tasks:
        tasks.start_soon(none_comes, events)
        await anyio.sleep(0.05)
        with pytest.raises(RuntimeError, match="give each its own"):
            await anext(events)


async def test_the_end_of_a_back_end_ends_its_consumers(backend: Backend) -> None:
    ended = anyio.Event()

    async def wait() -> None:
        async for _ in backend.consume():
            pass
        ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.sleep(0.05)
        await backend.close()
        with anyio.fail_after(PATIENCE):
            await ended.wait()


async def test_one_that_is_dropped_gives_back(make: Make) -> None:
    backend = make()
    await backend.publish(TOPIC, {"n": 1})
    events = backend.consume()
    await take(events)
    del events
    async with make().consume() as others:
        (event,) = await take(others)
        assert event.deliveries == 2
