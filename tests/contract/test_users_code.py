"""Code of users beside their handlers: what it lets out concerns one event or one call, and no other.

That is the result of a handler while it is written as JSON, what a policy returns, a function that names
conversations, and what observes the program.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Never, override

import pytest

from abe_redis import Backoff, Bury, Event, EventWorker, Retry
from abe_redis.errors import PayloadError
from abe_redis.events.codec import Fields
from abe_redis.observability import hooks
from abe_redis.observability.hooks import EndOfHandling, EndOfPublishing, Observer
from abe_redis.testing import InMemoryBackend
from tests.contract.conftest import Backend, run_until
from tests.contract.taking import TOPIC, Reasons, Stored


class OfOnesOwn(BaseException):
    """Of a program that derives from BaseException."""


type Made = Callable[[], BaseException]

LET_OUT: dict[str, Made] = {
    "CancelledError": lambda: asyncio.CancelledError("mine"),
    "SystemExit": lambda: SystemExit(4),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "BaseException": lambda: OfOnesOwn("bad"),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("several", [SystemExit(4)]),
}
kinds = pytest.mark.parametrize("made", LET_OUT.values(), ids=LET_OUT)


class Result(dict[str, Any]):
    """A result that fails when it is written."""

    def __init__(self, made: Made) -> None:
        super().__init__(n=1)
        self._made = made

    @override
    def items(self) -> Never:
        raise self._made()


@kinds
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.promise("Every exception that a handler lets out is a failure of that handler alone")
@pytest.mark.promise("So is what its result lets out while it is written as JSON for `respond_to`.")
async def test_a_result_that_cannot_be_written_is_a_failure_of_its_event_alone(
    backend: Backend, reasons: Reasons, stored: Stored, made: Made, is_async: bool
) -> None:
    await backend.publish_many(TOPIC, [{"n": 0}, {"n": 1}])

    def handle(event: Event) -> Any:
        return Result(made) if event["n"] == 0 else {"n": event["n"]}

    async def handle_async(event: Event) -> Any:
        return handle(event)

    worker = EventWorker(
        backend,
        handle_async if is_async else handle,
        respond_to="answers",
        policy=Backoff(first=0, deliveries=2),
    )
    await run_until(worker, lambda: (worker.handled, worker.failed) == (1, 2))
    (reason,) = await reasons(backend)
    assert reason.startswith("handler failed 2 times, last with ")
    assert [one["result"] for one in await stored(backend, "answers")] == [{"n": 1}]


@dataclass(frozen=True)
class Later(Retry):
    """A decision of one's own class, with words that fail."""

    @override
    def __str__(self) -> Never:
        raise SystemExit(4)


async def test_a_decision_of_another_class_means_what_its_base_does(
    backend: Backend, reasons: Reasons
) -> None:
    await backend.publish(TOPIC, {"n": 0})

    def fail(_: Event) -> None:
        raise ValueError("no")

    def decide(event: Event, _: Exception) -> Any:
        return Later() if event.deliveries == 1 else Bury("enough")

    worker = EventWorker(backend, fail, policy=decide)
    await run_until(worker, lambda: worker.failed == 2)
    assert await reasons(backend) == ["enough"]


@kinds
async def test_a_function_that_names_conversations_fails_for_one_event(made: Made) -> None:
    def name(payload: dict[str, Any]) -> str:
        if payload["n"] == 0:
            raise made()
        return "C1"

    async with InMemoryBackend(conversation=name) as backend:
        with pytest.raises(PayloadError, match="The function that names an event's conversation failed with"):
            await backend.publish(TOPIC, {"n": 0})
        await backend.publish(TOPIC, {"n": 1})
        assert backend.published(TOPIC) == [{"n": 1}]


class Failing(Observer):
    """Fails at each beginning, or at each end."""

    def __init__(self, made: Made, *, at_the_end: bool) -> None:
        self._made = made
        self._at_the_end = at_the_end

    def _fail(self, *_: object) -> None:
        raise self._made()

    def _begun(self) -> Callable[..., None]:
        if not self._at_the_end:
            self._fail()
        return self._fail

    @override
    def publishing(self, stream: str, entries: Sequence[Fields]) -> EndOfPublishing | None:
        return self._begun()

    @override
    def handling(self, event: Event) -> EndOfHandling | None:
        return self._begun()


@pytest.mark.parametrize("made", [lambda: ValueError("bad"), asyncio.CancelledError], ids=["error", "exit"])
@pytest.mark.parametrize("at_the_end", [False, True])
async def test_an_observer_that_fails_concerns_no_event(
    backend: Backend,
    made: Made,
    at_the_end: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hooks, "_complaints", set())
    handled = list[int]()
    worker = EventWorker(backend, lambda event: handled.append(event["n"]))
    with hooks.observed(Failing(made, at_the_end=at_the_end)):
        await backend.publish(TOPIC, {"n": 0})
        await backend.publish_many(TOPIC, [{"n": 1}, {"n": 2}])
        await run_until(worker, lambda: worker.handled == 3)
    assert handled == [0, 1, 2]
    said = [one.getMessage() for one in caplog.records if "observes this program" in one.getMessage()]
    assert len(said) == 1, "one line for all of them"
    assert "test_users_code.py:" in said[0]
