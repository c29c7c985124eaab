"""What a policy of one's own decides; and what a policy that fails does not."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from abe_redis import Backoff, Bury, Drop, Event, EventWorker, Retry
from abe_redis.errors import SettingsError
from abe_redis.testing import InMemoryBackend
from abe_redis.worker.decisions import decide
from tests.contract.conftest import Backend, Make, run_until
from tests.patience import PATIENCE

TOPIC = "slack_events"

type Reasons = Callable[[Backend], Awaitable[list[str]]]


# A policy that fails ------------------------------------------------------------------------------------


def raises(_: Event, error: Exception) -> Any:
    raise KeyError(error)


def leaks(_: Event, __: Exception) -> Any:
    raise asyncio.CancelledError


def exits(_: Event, __: Exception) -> Any:
    sys.exit(3)


def raises_an_interrupt(_: Event, __: Exception) -> Any:
    raise KeyboardInterrupt


def decides_nothing(_: Event, __: Exception) -> Any:
    return None


def returns_a_class(_: Event, __: Exception) -> Any:
    return Drop


async def _later() -> Drop:
    return Drop()


def returns_a_coroutine(_: Event, __: Exception) -> Any:
    return _later()


def has_no_reason(_: Event, error: Exception) -> Bury:
    return Bury(error.args[0])


def waits_for_ever(_: Event, __: Exception) -> Retry:
    return Retry(float("inf"))


@pytest.mark.promise("A policy that fails is a failure of that decision alone")
@pytest.mark.promise(
    "the log names the event and the mistake, the default policy decides, and the worker goes on"
)
@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (raises, "with KeyError"),
        (leaks, "with CancelledError"),
        (exits, "with sys.exit(3)"),
        (raises_an_interrupt, "with KeyboardInterrupt"),
        (decides_nothing, "it returned what is None; it must return Retry(…), Bury(…) or Drop()"),
        (returns_a_class, "it returned the class Drop; it must return"),
        (returns_a_coroutine, "it returned what is of type 'coroutine'; it must return"),
        (has_no_reason, "Bury's reason is 7; it must be a text"),
        (waits_for_ever, "Retry's delay is inf; it must be a number of seconds"),
    ],
)
async def test_a_policy_that_fails_ends_no_worker(
    policy: Any, says: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged with the event, the default policy decides, and other handlers go on."""
    monkeypatch.setattr("abe_redis.worker.decisions._DEFAULT", Backoff(first=0.01, most=0.01))
    backend, others = InMemoryBackend(), list[int]()
    others_begin, others_end = anyio.Event(), anyio.Event()

    async def handle(event: Event) -> None:
        if event["n"] == 0:
            await others_begin.wait()
            raise ValueError(7)
        others_begin.set()
        await others_end.wait()
        others.append(event["n"])

    await backend.publish_many(TOPIC, [{"n": 0}, {"n": 1}])
    worker = EventWorker(backend, handle, concurrency=2, policy=policy)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            while not backend.buried():
                await anyio.sleep(0.005)
            others_end.set()
            await backend.finished()
            await worker.shutdown()
    assert [one.reason for one in backend.buried()] == ["handler failed 5 times, last with ValueError: 7"]
    assert (others, worker.failed, worker.given_back) == ([1], 5, 0)
    said = [one.getMessage() for one in caplog.records if "The policy failed" in one.getMessage()]
    assert len(said) == 5
    assert "-0 of 'slack_events' with" in said[0]
    assert says in said[0]
    assert said[0].endswith("The default policy decides.")


def test_ctrl_c_in_a_policy_is_none_of_its_failures() -> None:
    def interrupted(_: Event, __: Exception) -> Any:
        signal.raise_signal(signal.SIGINT)

    event = Event({}, stream=TOPIC, group="g", id="1-0", deliveries=1)
    with pytest.raises(KeyboardInterrupt):
        decide(interrupted, event, ValueError(), most_deliveries=5)


async def is_async(_: Event, __: Exception) -> Drop:
    return Drop()


class AsyncPolicy:
    async def __call__(self, _: Event, __: Exception) -> Drop:
        return Drop()


def takes_one(_: Event) -> Drop:
    return Drop()


def yields(_: Event, __: Exception) -> Any:
    yield Drop()


@pytest.mark.promise("refuses at once a policy that is async or cannot be called with an event and")
@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (is_async, "policy is async; it must be a function that needs no await"),
        (AsyncPolicy(), "policy is async"),
        (takes_one, r"policy takes \(_\); it is called with an event and an exception"),
        (yields, "policy contains yield"),
        (Backoff, "policy is of type 'type'; it must be a function"),
        (Drop(), "policy is of type 'Drop'; it must be a function"),
    ],
)
def test_what_cannot_be_a_policy_is_refused_at_once(policy: Any, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        EventWorker(InMemoryBackend(), print, policy=policy)


# The number of deliveries -------------------------------------------------------------------------------


@pytest.mark.promise("After `REDIS_STREAM_MAX_DELIVERIES` (5) deliveries it buries the event")
@pytest.mark.parametrize(
    ("setting", "policy", "deliveries"),
    [
        (2, None, 2),
        (2, Backoff(first=0), 2),
        (7, Backoff(first=0), 7),
        (5, Backoff(first=0, deliveries=2), 2),
        (2, Backoff(first=0, deliveries=4), 4),
        (3, lambda *_: Retry(), 3),
    ],
)
async def test_the_last_delivery_that_is_allowed_buries_with_the_failure(
    make: Make,
    reasons: Reasons,
    caplog: pytest.LogCaptureFixture,
    setting: int,
    policy: Any,
    deliveries: int,
) -> None:
    """Whoever names the number, nothing is lost of what is known, and the log promises no delivery."""
    caplog.set_level(logging.INFO, "abe_redis")
    backend = make(redis_stream_max_deliveries=setting)
    await backend.publish(TOPIC, {"n": 1})
    seen = list[int]()

    async def fail(event: Event) -> None:
        seen.append(event.deliveries)
        raise ValueError("the last word")

    worker = EventWorker(backend, fail, policy=policy)
    await run_until(worker, lambda: worker.failed == deliveries)
    assert seen == list(range(1, deliveries + 1))
    assert await reasons(backend) == [
        f"handler failed {deliveries} times, last with ValueError: the last word"
    ]
    said = [one.getMessage() for one in caplog.records if "failed at delivery" in one.getMessage()]
    assert ["delivered again" in text for text in said] == [True] * (deliveries - 1) + [False]
    assert said[-1].endswith("it is to move to the dead letters.")
