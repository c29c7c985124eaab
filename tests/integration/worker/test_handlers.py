"""Handlers that fail, succeed and decide: what becomes of their events, and how many run at a time."""

import json
import sys
import threading
import time
from collections import Counter
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import (
    Backoff,
    Bury,
    Drop,
    Event,
    EventWorker,
    RedisMessageQueueBackend,
    Retry,
    slack_event,
)
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.sanitize.exceptions import describe
from tests.integration.conftest import MakeBackend, log_says, pending, until
from tests.integration.worker.worker_at_work import at_work, letters, nothing_pending, publish


@pytest.mark.promise("delivers the event again, after a delay that doubles each time.")
@pytest.mark.promise("If the handler raises, is cancelled, or its process dies, the event is delivered again")
async def test_a_handler_that_fails_is_called_again(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend()
    calls: Counter[int] = Counter()

    async def handle(event: Event) -> None:
        calls[event["n"]] += 1
        if event["n"] % 3 == 0 and event.deliveries < 3:
            raise ValueError("not yet")

    await publish(backend, *range(30))
    async with at_work(EventWorker(backend, handle, concurrency=8, policy=Backoff(first=0.05))):
        await until(nothing_pending(redis))
    assert calls == {number: 3 if number % 3 == 0 else 1 for number in range(30)}
    assert await letters(redis) == []


@pytest.mark.promise("After `REDIS_STREAM_MAX_DELIVERIES` (5) deliveries it buries the event")
async def test_poison_is_buried_and_blocks_nothing(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_stream_max_deliveries=3)
    done: Counter[int] = Counter()

    async def handle(event: Event) -> None:
        if event["n"] % 100 == 7:
            raise RuntimeError("cannot: token xoxb-123-secret at https://hooks.slack.com/services/T/B/x")
        done[event["n"]] += 1

    for number in range(400):
        if number % 100 == 50:
            await redis.xadd("slack_events", {"data": "\x00 not json"})
        await backend.publish("slack_events", {"n": number})
    async with at_work(
        EventWorker(backend, handle, concurrency=16, policy=Backoff(first=0.01, deliveries=3))
    ):
        await until(nothing_pending(redis))
    assert done == {number: 1 for number in range(400) if number % 100 != 7}
    buried = await letters(redis)
    reasons = Counter(letter[b"abe:reason"].partition(b":")[0] for letter in buried)
    assert len(buried) == 8
    assert reasons[b"handler failed 3 times, last with RuntimeError"] == 4
    assert b"secret" not in b"".join(letter[b"abe:reason"] for letter in buried)
    assert b"hooks.slack.com/services" not in b"".join(letter[b"abe:reason"] for letter in buried)


@pytest.mark.parametrize(
    ("decision", "dead", "calls"), [(Bury("because"), 1, 1), (Drop(), 0, 1), (Retry(0), 0, 2)]
)
async def test_a_decision_is_carried_out(
    backend: RedisMessageQueueBackend, redis: Redis, decision: Any, dead: int, calls: int
) -> None:
    seen: list[int] = []

    async def handle(event: Event) -> None:
        seen.append(event.deliveries)
        if event.deliveries == 1:
            raise ValueError

    await publish(backend, 1)
    async with at_work(EventWorker(backend, handle, policy=lambda _event, _error: decision)):
        await until(nothing_pending(redis))
    assert len(seen) == calls
    assert len(await letters(redis)) == dead


async def test_concurrency_is_what_was_asked_for(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    running = most = 0
    all_at_work = anyio.Event()

    async def handle(_: Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if most == 5:
            all_at_work.set()
        await all_at_work.wait()
        await anyio.sleep(0.02)  # in which a sixth could begin
        running -= 1

    await publish(backend, *range(40))
    async with at_work(EventWorker(backend, handle, concurrency=5)):
        await until(nothing_pending(redis))
    assert most == 5


async def test_a_function_runs_in_a_thread(make_backend: MakeBackend, redis: Redis) -> None:
    """It blocks for longer than a lease, which is renewed meanwhile, so it runs once."""
    backend = make_backend(redis_stream_lease_seconds=4)
    threads: list[int] = []

    def handle(_: Event) -> None:
        threads.append(threading.get_ident())
        time.sleep(5)

    await publish(backend, 1)
    worker = EventWorker(backend, handle)
    async with at_work(worker):
        await until(nothing_pending(redis))
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_handler_that_wants_to_end_the_process_fails(
    backend: RedisMessageQueueBackend, redis: Redis, in_thread: bool
) -> None:
    def leave(_: Event) -> None:
        sys.exit("it had enough")

    async def leave_too(event: Event) -> None:
        leave(event)

    await publish(backend, 1, 2)
    handler: Any = leave if in_thread else leave_too
    worker = EventWorker(backend, handler, policy=lambda _event, error: Bury(describe(error)))
    async with at_work(worker):
        await until(nothing_pending(redis))
    reasons = [letter[b"abe:reason"] for letter in await letters(redis)]
    assert reasons == [b"RuntimeError: the handler called sys.exit('it had enough')"] * 2


async def test_a_handlers_result_is_published_once(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend()

    async def handle(event: Event) -> dict[str, Any] | None:
        return {"double": 2 * event["n"]} if event["n"] else None

    await publish(backend, 0, 21)
    async with at_work(EventWorker(backend, handle, group="g", respond_to="answers")):
        await until(nothing_pending(redis))
    entries: Any = await redis.xrange("answers")
    ((_, fields),) = entries
    answer = json.loads(fields[b"data"])
    assert answer["result"] == {"double": 42}
    assert answer["stream"] == "slack_events"


async def test_the_log_says_when_a_later_result_of_the_same_event_is_not_published(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend()

    async def handle(event: Event) -> str:
        return "a result"

    await publish(backend, 1)
    caplog.set_level("INFO", "abe_redis.worker")
    async with at_work(EventWorker(backend, handle, group="g", respond_to="answers")):
        await until(nothing_pending(redis))
        await Groups(Scope(make_backend())).replay("slack_events", "g")
        await until(lambda: log_says(caplog, "is not published: an earlier one is in 'answers'"))
    assert await redis.xlen("answers") == 1


@pytest.mark.promise("its handler does not run again because Redis does not take the result")
async def test_a_result_that_redis_does_not_take_waits_and_its_handler_does_not_run_again(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(redis_stream_lease_seconds=2)
    runs: list[int] = []

    async def handle(event: Event) -> str:
        runs.append(event["n"])
        return "a result"

    await redis.rpush("answers", "in the way")  # type: ignore[misc, unused-ignore]
    await publish(backend, 1)
    async with at_work(EventWorker(backend, handle, group="g", respond_to="answers")):
        await until(lambda: log_says(caplog, "The result of event"))
        await anyio.sleep(2.5)  # longer than its lease
        await redis.delete("answers")
        await until(nothing_pending(redis))
    assert runs == [1]
    assert await redis.xlen("answers") == 1


@pytest.mark.promise("A worker that ends meanwhile gives the event back, so its handler runs again")
async def test_a_worker_that_ends_while_a_result_waits_says_that_the_handler_had_returned(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[int] = []

    async def handle(event: Event) -> str | None:
        runs.append(event["n"])
        if event["n"] == 2:
            await anyio.sleep_forever()
        return "a result"

    async def both_began() -> bool:
        return len(runs) == 2

    def worker() -> EventWorker:
        return EventWorker(
            make_backend(), handle, group="g", respond_to="answers", concurrency=2, drain_seconds=0.1
        )

    await redis.rpush("answers", "in the way")  # type: ignore[misc, unused-ignore]
    await publish(make_backend(), 1, 2)
    async with at_work(worker()):
        await until(both_began)
        await until(lambda: log_says(caplog, "The result of event"))
    said = [one for one in caplog.messages if "the worker ends" in one]
    assert len(said) == 2
    (cancelled,) = [one for one in said if one.endswith(" was cancelled: the worker ends.")]
    (returned,) = [one for one in said if one != cancelled]
    assert "had returned, but Redis had not taken its result for 'answers': the worker ends." in returned
    assert returned.endswith("its handler runs again.")
    assert "Handlers did not end, or Redis did not take their results, within 0.1 s" in caplog.text
    await redis.delete("answers")
    async with at_work(worker()):

        async def is_answered() -> bool:
            return await redis.xlen("answers") == 1

        await until(is_answered)
    assert runs.count(1) == 2


@pytest.mark.promise("What the agent publishes is marked")
@pytest.mark.parametrize("view", [slack_event, None])
async def test_handlers_can_recognize_and_refuse_what_an_agent_published(
    view: Any, backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    said: list[tuple[str | None, str]] = []

    async def handle(event: Event) -> None:
        said.append((event.origin, event.stream))

    async def all_said(count: int) -> bool:
        return len(said) == count and not await pending(redis, "slack_events", "trusting")

    mention = {"type": "event_callback", "event": {"type": "app_mention", "user": "U0CEO"}}
    await backend.publish_event("slack_events", mention, origin="mcp")
    await backend.publish_event("slack_events", mention)
    async with at_work(EventWorker(backend, handle, group="trusting", view=view)):
        await until(lambda: all_said(2))
    assert said == [("mcp", "slack_events"), (None, "slack_events")]

    said.clear()
    worker = EventWorker(backend, handle, group="wary", view=view, refuse_origins=["mcp", "cli"])
    async with at_work(worker):
        await until(lambda: all_said(1))
    assert said == [(None, "slack_events")]
    assert (worker.handled, worker.failed) == (1, 0)
    buried: Any = await redis.xrange("dead:{slack_events}")
    ((_, fields),) = buried
    assert b"its origin is 'mcp', which this worker refuses" in fields.values()


async def test_the_hosts_own_handlers_fire(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    """With plain envelopes, `@handler.app_mention` of Slack MCP Server never does."""
    decorator = pytest.importorskip(
        "slack_mcp.webhook.event.handler.decorator", reason="slack-mcp is not released for this Python"
    )
    handler = decorator.DecoratorHandler()
    mentions: list[Any] = []

    @handler.app_mention  # type: ignore[untyped-decorator, unused-ignore]
    async def on_mention(event: dict[str, Any]) -> None:
        mentions.append((event["text"], event["team_id"]))

    inner = {"type": "app_mention", "text": "hi", "user": "U1", "channel": "C1", "ts": "1.1"}
    await backend.publish(
        "slack_events", {"type": "event_callback", "event_id": "Ev1", "team_id": "T1", "event": inner}
    )
    await backend.publish("slack_events", inner | {"team_id": "T2"})
    async with at_work(EventWorker(backend, handler, view=slack_event)):
        await until(nothing_pending(redis))
    assert mentions == [("hi", "T1"), ("hi", "T2")]


def test_a_backoff_grows_to_its_bound() -> None:
    def delay(deliveries: int) -> float:
        event = Event({}, stream="s", group="g", id="1-0", deliveries=deliveries)
        decision = Backoff(first=1, most=30, deliveries=20)(event, ValueError())
        assert isinstance(decision, Retry)
        return decision.delay

    for deliveries, most in ((1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (19, 30)):
        assert most / 2 <= delay(deliveries) <= most
    event = Event({}, stream="s", group="g", id="1-0", deliveries=20)
    assert isinstance(Backoff(deliveries=20)(event, ValueError("x")), Bury)


def test_a_worker_needs_a_handler_and_a_slot(redis_url: str) -> None:
    del redis_url
    backend = RedisMessageQueueBackend.from_env()
    with pytest.raises(ValueError, match="concurrency is 0"):
        EventWorker(backend, print, concurrency=0)
    with pytest.raises(ValueError, match="needs a handler"):
        anyio.run(EventWorker(backend).run)
