"""The promises of workers, through the public doors."""

import threading
from collections import Counter
from typing import Any

import anyio
import pytest

from abe_redis import Backoff, Bury, Drop, Event, EventWorker, Retry
from abe_redis.testing import message
from tests.contract.conftest import Backend, Make, run_until
from tests.contract.taking import TOPIC, Reasons, Stored, take
from tests.patience import PATIENCE


async def test_a_worker_handles_at_a_time_what_it_may(backend: Backend) -> None:
    await backend.publish_many(TOPIC, [{"n": number} for number in range(40)])
    at_work = most = 0

    async def handle(event: Event) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await anyio.sleep(0.01)
        at_work -= 1

    worker = EventWorker(backend, handle, concurrency=4)
    await run_until(worker, lambda: worker.handled == 40)
    assert most == 4


@pytest.mark.parametrize(
    ("decision", "deliveries", "buried"),
    [
        (Retry(), 3, ["handler failed 3 times, last with ValueError: no"]),
        (Bury("mine"), 1, ["mine"]),
        (Drop(), 1, []),
    ],
)
async def test_a_failure_means_what_the_policy_says(
    backend: Backend, reasons: Reasons, decision: Any, deliveries: int, buried: list[str]
) -> None:
    await backend.publish(TOPIC, {"n": 1})
    backoff = Backoff(first=0, deliveries=3)
    seen: list[int] = []

    def fail(event: Event) -> None:
        seen.append(event.deliveries)
        raise ValueError("no")

    worker = EventWorker(
        backend,
        fail,
        policy=lambda event, error: backoff(event, error) if decision == Retry() else decision,
    )
    await run_until(worker, lambda: worker.failed == deliveries)
    assert seen == list(range(1, deliveries + 1))
    assert await reasons(backend) == buried


async def test_an_event_is_not_begun_again_beside_a_function_that_its_worker_left_behind(make: Make) -> None:
    begun, may_end = list[tuple[str, int]](), threading.Event()

    def stay(event: Event) -> None:
        begun.append(("left", event["n"]))
        may_end.wait(PATIENCE)

    first, second = make(), make()
    await first.publish(TOPIC, {"n": 1})
    try:
        left = EventWorker(first, stay, drain_seconds=0.05)
        await run_until(left, lambda: bool(begun))
        await second.publish(TOPIC, {"n": 2})
        other = EventWorker(second, lambda event: begun.append(("other", event["n"])))
        await run_until(other, lambda: len(begun) == 2)
    finally:
        may_end.set()
    assert begun == [("left", 1), ("other", 2)]
    assert (left.given_back, other.handled) == (0, 1)


async def test_events_of_a_stopped_handler_are_delivered_again(make: Make) -> None:
    backend = make()
    await backend.publish(TOPIC, {"n": 1})
    begun = anyio.Event()

    async def forever(_: Event) -> None:
        begun.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(EventWorker(backend, forever).run)
        with anyio.fail_after(PATIENCE):
            await begun.wait()
        tasks.cancel_scope.cancel()
    async with make().consume() as events:
        (event,) = await take(events)
        assert event.deliveries == 2


async def test_an_answer_goes_to_its_stream_once(make: Make, stored: Stored) -> None:
    backend = make(redis_stream_patterns=TOPIC)
    await backend.publish(TOPIC, {"n": 1})
    worker = EventWorker(backend, lambda event: event["n"] + 1, respond_to="answers")
    await run_until(worker, lambda: worker.handled == 1)
    (answer,) = await stored(backend, "answers")
    assert (answer["result"], answer["stream"]) == (2, TOPIC)


async def test_conversations_keep_their_order(make: Make) -> None:
    backend = make(redis_stream_partitions=4, redis_stream_lease_seconds=60)
    channels = [f"C{number}" for number in range(6)]
    await backend.publish_many(
        TOPIC, [message(f"{number}", channel=channel) for number in range(10) for channel in channels]
    )
    seen: dict[str, list[int]] = {channel: [] for channel in channels}
    at_work: Counter[str] = Counter()
    failed: set[str] = set()

    async def handle(event: Event) -> None:
        channel, number = event["event"]["channel"], int(event["event"]["text"])
        at_work[channel] += 1
        assert at_work[channel] == 1, "two of one conversation at a time"
        await anyio.sleep(0.001)
        at_work[channel] -= 1
        if number == 5 and channel not in failed:
            failed.add(channel)
            raise ValueError("the first time is never right")
        seen[channel].append(number)

    workers = [
        EventWorker(each, handle, ordered=True, concurrency=4, policy=Backoff(first=0.05))
        for each in (backend, make(redis_stream_partitions=4, redis_stream_lease_seconds=60))
    ]
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for worker in workers:
                tasks.start_soon(worker.run)
            while sum(len(numbers) for numbers in seen.values()) < 60:
                await anyio.sleep(0.01)
            for worker in workers:
                await worker.shutdown()
    assert seen == {channel: list(range(10)) for channel in channels}
    assert failed == set(channels)


@pytest.mark.promise("Each topic has its own order.")
async def test_a_channel_in_two_topics_is_ordered_in_each(make: Make) -> None:
    backend = make()
    topics = {"slack_events", "slack:commands"}
    for topic in sorted(topics):
        await backend.publish(topic, {"channel_id": "C061EG9SL", "event": {"channel": "C061EG9SL"}})
    at_work = set[str]()
    both = anyio.Event()

    async def handle(event: Event) -> None:
        at_work.add(event.stream)
        if at_work == topics:
            both.set()
        await both.wait()

    worker = EventWorker(backend, handle, ordered=True, concurrency=4)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await both.wait()
            await worker.shutdown()


@pytest.mark.parametrize("how", ["nack", "bury"])
async def test_a_handler_that_settles_its_event_and_fails_then_does_not_end_the_worker(
    backend: Backend, how: str
) -> None:
    handled = Counter[int]()

    async def handle(event: Event) -> None:
        handled[event["n"]] += 1
        if event["n"] == 1 and event.deliveries == 1:
            await (event.nack() if how == "nack" else event.bury(reason="of no use"))
            raise ValueError("too late to matter")

    worker = EventWorker(backend, handle, concurrency=2)
    for number in (1, 2):
        await backend.publish(TOPIC, {"n": number})
    expected = {1: 2 if how == "nack" else 1, 2: 1}
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            while handled != expected:
                await anyio.sleep(0.02)
            await backend.publish(TOPIC, {"n": 3})
            while handled[3] == 0:
                await anyio.sleep(0.02)
            await worker.shutdown()
    assert worker.failed == 1


async def test_a_rate_limit_of_slack_never_buries(make: Make) -> None:
    """However often Slack refuses; and the handler that succeeds at last is at its first delivery."""
    backend, seen = make(redis_stream_max_deliveries=2), list[int]()
    await backend.publish("slack_events", {"n": 1})

    async def handle(event: Event) -> None:
        seen.append(event.deliveries)
        if len(seen) < 5:
            raise ValueError("limited")
        await worker.shutdown()

    worker = EventWorker(backend, handle, policy=lambda _, __: Retry(counts=False))
    with anyio.fail_after(PATIENCE):
        await worker.run()
    assert seen == [1] * 5
