"""The promises, through the public doors."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from abe_redis import Backoff, Bury, Drop, Event, EventStream, EventWorker, Retry
from abe_redis.errors import ClosedError, InvalidNameError, LeaseLostError, PayloadError
from abe_redis.testing import app_mention, envelope, message
from tests.contract.conftest import Backend, Make, run_until
from tests.patience import PATIENCE

TOPIC = "slack_events"

type Reasons = Callable[[Backend], Awaitable[list[str]]]
type Stored = Callable[[Backend, str], Awaitable[list[Any]]]


async def take(events: EventStream, count: int = 1) -> list[Event]:
    with anyio.fail_after(PATIENCE):
        return [await anext(events) for _ in range(count)]


async def none_comes(events: EventStream, *, seconds: float = 0.3) -> bool:
    with anyio.move_on_after(seconds) as scope:
        await anext(events)
    return scope.cancelled_caught


# Publishing -----------------------------------------------------------------------------------------------


def without_token(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "token"}


async def test_slacks_retry_adds_nothing(backend: Backend, stored: Stored) -> None:
    event = app_mention("once")
    first = await backend.publish_event(TOPIC, event)
    again = await backend.publish_event(TOPIC, event)
    assert (again.id, again.duplicate, again.length) == (first.id, True, 1)
    other = await backend.publish_event("slack:other", event)
    assert not other.duplicate
    assert await stored(backend, TOPIC) == [without_token(event)]


async def test_an_id_of_ones_own(make: Make) -> None:
    first, second = make(), make()
    assert not (await first.publish_event(TOPIC, {"n": 1}, event_id="x")).duplicate
    assert (await second.publish_event(TOPIC, {"n": 2}, event_id="x")).duplicate
    assert not (await second.publish_event(TOPIC, {"n": 1})).duplicate


async def test_deduplication_can_be_off(make: Make, stored: Stored) -> None:
    backend = make(redis_stream_dedup_seconds=0)
    event = message("twice")
    await backend.publish_many(TOPIC, [event, event])
    assert await stored(backend, TOPIC) == [without_token(event)] * 2


async def test_the_token_is_left_out(backend: Backend, stored: Stored) -> None:
    await backend.publish(TOPIC, envelope({"type": "message"}, event_id="Ev1") | {"token": "secret"})
    assert all("token" not in one for one in await stored(backend, TOPIC))


@pytest.mark.parametrize(
    ("key", "payload", "error"),
    [
        ("", {}, InvalidNameError),
        ("dead:{x}", {}, InvalidNameError),
        (TOPIC, [], PayloadError),
        (TOPIC, {"n": float("nan")}, PayloadError),
        (TOPIC, {"n": {1, 2}}, PayloadError),
    ],
)
async def test_bad_input_is_refused(backend: Backend, key: str, payload: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await backend.publish(key, payload)
    with pytest.raises(error):
        await backend.publish_many(key, [{"fine": True}, payload])


async def test_a_closed_back_end_refuses(backend: Backend) -> None:
    await backend.close()
    await backend.close()
    with pytest.raises(ClosedError):
        await backend.publish(TOPIC, {})
    with pytest.raises(ClosedError):
        backend.consume()
    with pytest.raises(InvalidNameError):
        type(backend)(backend.settings).consume(group="a\nb")


# Consuming ------------------------------------------------------------------------------------------------


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


# Failing --------------------------------------------------------------------------------------------------


async def test_a_nack_delivers_again_after_its_delay(backend: Backend) -> None:
    await backend.publish_many(TOPIC, [{"n": 1}, {"n": 2}])
    async with backend.consume() as events:
        (first,) = await take(events)
        await first.nack(delay=1)
        (second,) = await take(events)
        assert second["n"] == 2
        with pytest.raises(LeaseLostError):
            await first.nack()
        (again,) = await take(events)
        assert (again["n"], again.deliveries) == (1, 2)


async def test_an_event_delivered_too_often_is_buried(make: Make, reasons: Reasons) -> None:
    backend = make(redis_stream_max_deliveries=2)
    await backend.publish_many(TOPIC, [{"n": 1}, {"n": 2}])
    async with backend.consume() as events:
        for _ in range(2):
            (event,) = await take(events)
            assert event["n"] == 1
            await event.nack()
        (event,) = await take(events)
        assert event["n"] == 2
    with anyio.fail_after(PATIENCE):
        while await reasons(backend) != ["delivered 2 times without an ack"]:
            await anyio.sleep(0.01)


async def test_the_last_reason_to_give_an_event_back_is_kept(make: Make, reasons: Reasons) -> None:
    backend = make(redis_stream_max_deliveries=2)
    await backend.publish_many(TOPIC, [{"n": 1}, {"n": 2}])
    async with backend.consume() as events:
        for said in ("it is early", "it is too late"):
            (event,) = await take(events)
            assert event["n"] == 1
            await event.nack(reason=said)
        await take(events)
        with anyio.fail_after(PATIENCE):
            while not (found := await reasons(backend)):
                await anyio.sleep(0.01)
    assert found == ["delivered 2 times without an ack, last given back with: it is too late"]


async def test_burying(backend: Backend, reasons: Reasons) -> None:
    await backend.publish(TOPIC, {"n": 1})
    async with backend.consume() as events:
        (event,) = await take(events)
        await event.bury(reason="it cannot be done")
        with pytest.raises(LeaseLostError):
            await event.bury(reason="again")
        assert await none_comes(events)
    assert await reasons(backend) == ["it cannot be done"]


# Workers --------------------------------------------------------------------------------------------------


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
    backend = make(redis_stream_partitions=4, redis_stream_lease_seconds=5)
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
        for each in (backend, make(redis_stream_partitions=4, redis_stream_lease_seconds=5))
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


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_nack_that_does_not_count_leaves_the_deliveries_as_they_were(
    make: Make, ordered: bool
) -> None:
    backend = make()
    await backend.publish("slack_events", {"n": 1})
    consume = backend.consume_ordered if ordered else backend.consume
    async with consume() as events:
        for delay in (0, 0.05, 0):
            (event,) = await take(events)
            assert event.deliveries == 1
            await event.nack(delay=delay, counted=False)
        (event,) = await take(events)
        assert event.deliveries == 1
        await event.nack()
        for counted in (False, True):
            (event,) = await take(events)
            assert event.deliveries == 2
            await event.nack(counted=counted)
        (event,) = await take(events)
        assert event.deliveries == 3


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
