"""Wrong values at the public doors: each is refused where it is given, with a sentence that shows it."""

import inspect
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import abe_redis
from abe_redis import (
    Backoff,
    Bury,
    Event,
    EventWorker,
    Operations,
    RedisMessageQueueBackend,
    Retry,
    Settings,
    SyncBackend,
)
from abe_redis.errors import (
    AbeRedisError,
    InvalidArgumentError,
    InvalidNameError,
    PayloadError,
    RequestError,
    SettingsError,
)
from abe_redis.testing import InMemoryBackend

NOWHERE = Settings(redis_url="redis://127.0.0.1:1")
"""Nothing that is refused here gets as far as Redis."""

NO_SECONDS = (-1, math.nan, math.inf, -math.inf, 10**12, "soon", None, True, timedelta(seconds=1), [1])
NO_TEXT = (None, 3, b"reason", ["reason"], ValueError("reason"))
NO_COUNT = (0, -1, 1.5, "8", None, True, math.inf, 10**12)
NO_FLAG: tuple[Any, ...] = (None, 0, 1, "no", [])
NO_NAME = (3, "", b"name", "a\nb", "x" * 600, ["name"])
NO_FUNCTION: tuple[Any, ...] = (3, "handle", EventWorker, [])


def handle(event: Event) -> None:
    del event


async def handle_later(event: Event) -> None:
    del event


def with_two(event: Event, more: int) -> None:
    del event, more


def names(made: object, wrong: object) -> None:
    """Ask of the sentence that it shows the value, or its type when it may hold more than that."""
    is_plain = wrong is None or isinstance(wrong, str | int | float)
    assert (repr(wrong)[:40] if is_plain else repr(type(wrong).__name__)) in str(made)


@pytest.mark.parametrize(
    ("build", "wrong", "what"),
    [
        (Retry, NO_SECONDS, "Retry's delay is"),
        (lambda value: Retry(counts=value), NO_FLAG, "Retry's counts is"),
        (Bury, (*NO_TEXT, "", " \n"), "Bury's reason is"),
        (lambda value: Backoff(first=value), NO_SECONDS, "Backoff's first is"),
        (lambda value: Backoff(most=value), NO_SECONDS, "Backoff's most is"),
        (lambda value: Backoff(deliveries=value), set(NO_COUNT) - {None}, "Backoff's deliveries is"),
        (lambda value: Backoff(slack_errors=value), (None, 3, ["x"]), "Backoff's slack_errors is"),
        (
            lambda value: Backoff(slack_errors={"x": value}),
            (None, "foo", "", 3),
            "Backoff's slack_errors says",
        ),
        (lambda value: Backoff(slack_errors={value: "bury"}), (None, 3), "Backoff's slack_errors says"),
    ],
)
def test_what_decides_refuses_wrong_values(build: Callable[[Any], Any], wrong: Any, what: str) -> None:
    for value in wrong:
        with pytest.raises(SettingsError) as found:
            build(value)
        assert str(found.value).startswith(what), value
        names(found.value, value)


def test_a_first_delay_is_no_longer_than_the_longest() -> None:
    with pytest.raises(
        SettingsError, match="Backoff's first delay, 10 s, is longer than its longest, most=1"
    ):
        Backoff(first=10, most=1)
    with pytest.raises(SettingsError, match="Give it a longer most"):
        Backoff(first=600)
    assert Backoff(most=0.1).most == 0.1, "the default of the first one gives way"


KINDS = pytest.mark.parametrize("kind", [RedisMessageQueueBackend, InMemoryBackend])


@KINDS
@pytest.mark.parametrize(
    ("parameter", "wrong"),
    [
        ("concurrency", NO_COUNT),
        ("drain_seconds", NO_SECONDS),
        ("handler_timeout", (0, *(value for value in NO_SECONDS if value is not None))),
        ("ordered", NO_FLAG),
        ("policy", (*NO_FUNCTION, handle_later, handle)),
        ("view", (*NO_FUNCTION, handle_later, with_two)),
        ("refuse_origins", (3, None, "mcp", [3], [None], [""], {"mcp": 1})),
        ("group", NO_NAME),
        ("respond_to", (*NO_NAME, "abe:x")),
        ("handler", (3, "bot:handle", "", EventWorker, [], with_two)),
    ],
)
def test_a_worker_refuses_wrong_values(kind: Any, parameter: str, wrong: tuple[Any, ...]) -> None:
    backend = kind(NOWHERE)
    of_names = parameter in {"group", "respond_to"}
    for value in wrong:
        with pytest.raises(InvalidNameError if of_names else SettingsError) as found:
            EventWorker(backend, **{"handler": handle} | {parameter: value})
        assert str(found.value).endswith("."), value
        assert isinstance(found.value, ValueError)


def test_every_parameter_of_a_worker_is_among_those() -> None:
    marks: Any = vars(test_a_worker_refuses_wrong_values)["pytestmark"]
    (mark,) = [one for one in marks if one.args[0] == ("parameter", "wrong")]
    asked = {parameter for parameter, _ in mark.args[1]}
    assert asked | {"self", "backend"} == set(inspect.signature(EventWorker.__init__).parameters)


async def test_a_worker_without_handler_or_with_another_at_run() -> None:
    backend = InMemoryBackend(NOWHERE)
    with pytest.raises(SettingsError, match="needs a handler"):
        await EventWorker(backend).run()
    others: tuple[Any, ...] = ("", 0, with_two)
    for wrong in others:
        with pytest.raises(SettingsError):
            await EventWorker(backend, handle).run(wrong)
    for not_one in (NOWHERE, None, "redis://:secret@localhost"):
        with pytest.raises(SettingsError, match="EventWorker takes a backend first") as found:
            EventWorker(not_one, handle)  # type: ignore[arg-type]
        assert "secret" not in str(found.value)


PUBLISHED: dict[str, Any] = {"key": "slack_events", "payload": {"n": 1}}


@KINDS
@pytest.mark.parametrize(
    ("parameter", "wrong", "error"),
    [
        ("key", (None, *NO_NAME, "dead:{x}"), InvalidNameError),
        ("payload", (None, 3, "text", [], b"{}", {"n": math.nan}, {"n": {1}}), PayloadError),
        ("event_id", (3, 0, b"Ev1", ["Ev1"], True), InvalidArgumentError),
        ("origin", (3, 0, b"mcp", ["mcp"], True), InvalidArgumentError),
        ("arrival", (3, "http", {"path": "http"}), InvalidArgumentError),
    ],
)
async def test_publishing_refuses_wrong_values(
    kind: Any, parameter: str, wrong: tuple[Any, ...], error: type[Exception]
) -> None:
    async with kind(NOWHERE) as backend:
        for value in wrong:
            with pytest.raises(error) as found:
                await backend.publish_event(**PUBLISHED | {parameter: value})
            assert isinstance(found.value, AbeRedisError), value
            if parameter in {"key", "payload"}:
                with pytest.raises(error):
                    await backend.publish(**PUBLISHED | {parameter: value})
    assert not (isinstance(backend, InMemoryBackend) and backend.published())


@KINDS
async def test_publishing_many_refuses_wrong_values(kind: Any) -> None:
    async with kind(NOWHERE) as backend:
        for payloads in (None, 3, "text", b"text", {"n": 1}, [3], ["text"], [{"n": 1}, None]):
            with pytest.raises(PayloadError):
                await backend.publish_many("slack_events", payloads)
        for key in NO_NAME:
            with pytest.raises(InvalidNameError):
                await backend.publish_many(key, [])
        with pytest.raises(InvalidArgumentError, match="origin is 3; it must be a text"):
            await backend.publish_many("slack_events", [{}], origin=3)
    assert not (isinstance(backend, InMemoryBackend) and backend.published())


def test_publishing_without_a_loop_refuses_wrong_values() -> None:
    with SyncBackend(NOWHERE) as backend:
        wrong: tuple[tuple[Callable[[], object], type[Exception]], ...] = (
            (lambda: backend.publish(3, {}), InvalidNameError),  # type: ignore[arg-type]
            (lambda: backend.publish("slack_events", []), PayloadError),  # type: ignore[arg-type]
            (lambda: backend.publish_event("slack_events", {}, event_id=5), InvalidArgumentError),  # type: ignore[arg-type]
            (lambda: backend.publish_event("slack_events", {}, origin=5), InvalidArgumentError),  # type: ignore[arg-type]
            (lambda: backend.publish_many("slack_events", 5), PayloadError),  # type: ignore[arg-type]
            (lambda: backend.publish_many("slack_events", {"n": 1}), PayloadError),  # type: ignore[dict-item]
        )
        for call, error in wrong:
            with pytest.raises(error):
                call()


@KINDS
async def test_consuming_refuses_wrong_values(kind: Any) -> None:
    """An empty group, as of a variable that is not set, is not the default one."""
    async with kind(NOWHERE) as backend:
        for group in NO_NAME:
            for consume in (backend.consume, backend.consume_ordered):
                with pytest.raises(InvalidNameError, match="consumer group"):
                    consume(group=group)


@pytest.mark.parametrize("kind", [RedisMessageQueueBackend, SyncBackend, InMemoryBackend])
def test_a_back_end_refuses_wrong_values(kind: Any) -> None:
    for settings in ("redis://:secret@localhost", 3, {"redis_url": "redis://"}):
        with pytest.raises(SettingsError, match=f"{kind.__name__} takes Settings") as found:
            kind(settings)
        assert "secret" not in str(found.value)
    for conversation in (*NO_FUNCTION, handle_later, with_two):
        with pytest.raises(SettingsError, match=r"^conversation "):
            kind(NOWHERE, conversation=conversation)


def test_a_queue_in_memory_is_shared_with_another_of_its_kind() -> None:
    with pytest.raises(
        SettingsError, match="shared_with is of type 'Settings'; it must be an InMemoryBackend"
    ):
        InMemoryBackend(shared_with=NOWHERE)  # type: ignore[arg-type]
    with pytest.raises(InvalidNameError):
        InMemoryBackend(NOWHERE).unfinished("")


@pytest.mark.parametrize("view", [lambda event: event, abe_redis.slack_event], ids=["plain", "a view"])
async def test_settling_an_event_refuses_wrong_values(view: Callable[[Event], Event]) -> None:
    """And the event is still held."""
    async with InMemoryBackend(NOWHERE) as backend:
        await backend.publish("slack_events", {"n": 1})
        async with backend.consume() as events:
            event = view(await anext(events))
            wrong: tuple[tuple[Callable[[Any], Any], tuple[Any, ...], str], ...] = (
                (lambda value: event.nack(delay=value), NO_SECONDS, "The delay of nack() is"),
                (lambda value: event.nack(counted=value), NO_FLAG, "counted of nack() is"),
                (lambda value: event.nack(reason=value), NO_TEXT[1:], "The reason of nack() is"),
                (lambda value: event.bury(reason=value), (*NO_TEXT, "", " "), "The reason of bury() is"),
            )
            for settle, values, what in wrong:
                for value in values:
                    with pytest.raises(InvalidArgumentError) as found:
                        await settle(value)
                    assert str(found.value).startswith(what), value
                    names(found.value, value)
            await event.bury(reason="it is held")
        assert [one.reason for one in backend.buried()] == ["it is held"]


TAKEN: dict[str, Any] = {"stream": "slack_events", "group": "g", "ids": ["1-0"]}


@pytest.mark.parametrize(
    ("ask", "wrong", "error"),
    [
        (lambda one, value: one.publish_event(value), (3, None, "text", []), PayloadError),
        (lambda one, value: one.publish_event({}, event_id=value), (3, "", "x" * 300), InvalidArgumentError),
        (lambda one, value: one.publish_event({}, stream=value), (3, b"slack_events"), InvalidNameError),
        (lambda one, value: one.publish_event({}, stream=value), ("", "else"), RequestError),
        (lambda one, value: one.publish_many(value), (3, None, "text", {"n": 1}), PayloadError),
        (lambda one, value: one.read_stream(count=value), (0, -1, 10**6, "5", None, True), RequestError),
        (lambda one, value: one.read_stream(group=value), NO_NAME, InvalidNameError),
        (lambda one, value: one.read_stream(stream=value), (3, b"slack_events"), InvalidNameError),
        (lambda one, value: one.ack(**TAKEN | {"ids": value}), (3, "1-0", [3], ["x"], []), RequestError),
        (lambda one, value: one.ack(**TAKEN | {"group": value}), NO_NAME, InvalidNameError),
        (lambda one, value: one.release(**TAKEN, delay_seconds=value), NO_SECONDS, InvalidArgumentError),
        (lambda one, value: one.release(**TAKEN, bury=value), (3, b"x", "", " "), InvalidArgumentError),
        (lambda one, value: one.redrive(group=value), NO_NAME, InvalidNameError),
    ],
)
async def test_operations_refuse_wrong_values(
    ask: Callable[[Operations, Any], Any], wrong: tuple[Any, ...], error: type[Exception]
) -> None:
    """An empty group is not the same as none: no redrive moves the dead letters of all groups for it."""
    async with RedisMessageQueueBackend(NOWHERE) as backend:
        for value in wrong:
            with pytest.raises(error) as found:
                await ask(Operations(backend), value)
            assert isinstance(found.value, AbeRedisError), value
