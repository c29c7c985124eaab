"""Exceptions that end a program elsewhere: wherever one comes from, it is one event's failure."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from abe_redis.testing import InMemoryBackend, message
from tests.contract.bolt.bots import Bots, Seen, handle, handled_by


class Unlike(BaseException):
    """What no `except Exception` catches."""


EXITS: dict[str, BaseException] = {
    "SystemExit": SystemExit(3),
    "SystemExit: None": SystemExit(),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
    "CancelledError": asyncio.CancelledError(),
    "StopIteration": StopIteration(7),
    "StopAsyncIteration": StopAsyncIteration(),
    "BaseExceptionGroup": BaseExceptionGroup("several", [SystemExit(3), KeyboardInterrupt()]),
    "ExceptionGroup": ExceptionGroup("several", [LookupError("one")]),
    "Unlike": Unlike("another"),
}


def raising(event: dict[str, Any]) -> None:
    """Raise what the event's text names; nothing for other texts."""
    name = event.get("text", "")
    if name in EXITS:
        error = EXITS[name]
        raise type(error)(*error.args)


def fail(event: dict[str, Any]) -> None:
    raise LookupError(event["text"])


def of_listener(bots: Bots, app: Any) -> None:
    app.event("message")(bots.fit(raising))


def of_lazy_listener(bots: Bots, app: Any) -> None:
    nothing, listener = bots.fit(lambda: None), bots.fit(raising)
    app.event("message")(ack=nothing, lazy=[nothing, listener, nothing])


def of_middleware(bots: Bots, app: Any) -> None:
    def middleware(body: dict[str, Any], next_: Callable[[], Any]) -> Any:
        raising(body["event"])
        return next_()

    app.use(bots.fit(middleware))
    app.event("message")(bots.fit(lambda: None))


def of_listener_middleware(bots: Bots, app: Any) -> None:
    def middleware(event: dict[str, Any], next_: Callable[[], Any]) -> Any:
        raising(event)
        return next_()

    app.event("message", middleware=[bots.fit(middleware)])(bots.fit(lambda: None))


def of_matcher(bots: Bots, app: Any) -> None:
    def matcher(event: dict[str, Any]) -> bool:
        raising(event)
        return True

    app.event("message", matchers=[bots.fit(matcher)])(bots.fit(lambda: None))


def of_error_handler(bots: Bots, app: Any) -> None:
    def listener(event: dict[str, Any]) -> None:
        if event["text"] in EXITS:
            raise LookupError

    app.event("message")(bots.fit(listener))
    app.error(bots.fit(lambda body: raising(body["event"])))


def of_error_handler_of_middleware(bots: Bots, app: Any) -> None:
    def middleware(body: dict[str, Any], next_: Callable[[], Any]) -> Any:
        if body["event"]["text"] in EXITS:
            raise LookupError
        return next_()

    app.use(bots.fit(middleware))
    app.event("message")(bots.fit(lambda: None))
    app.error(bots.fit(lambda body: raising(body["event"])))


PLACES = (
    of_listener,
    of_lazy_listener,
    of_middleware,
    of_listener_middleware,
    of_matcher,
    of_error_handler,
    of_error_handler_of_middleware,
)


@pytest.mark.parametrize("place", PLACES)
async def test_what_ends_a_program_elsewhere_fails_one_event(
    bots: Bots, place: Callable[[Bots, Any], None]
) -> None:
    app = bots.app()
    place(bots, app)
    seen = await handle(app, *[message(name) for name in EXITS], message("in order"))
    check(seen)


async def test_a_plain_handler_s_exit_fails_one_event(bots: Bots) -> None:
    seen = await handled_by(
        bots.fit(lambda payload: raising(payload["event"])),
        *[message(name) for name in EXITS],
        message("in order"),
    )
    check(seen)


def check(seen: Seen) -> None:
    """Each exception was a failure of its own event, which names it, and the worker went on."""
    assert len(seen.errors) == len(EXITS)
    for error, name in zip(seen.errors, EXITS, strict=True):
        kind = name.partition(":")[0]
        assert any(kind == type(one).__name__ for one in _causes(error)), (error, name)
        assert kind.replace("SystemExit", "sys.exit") in f"{type(error).__name__}: {error}"
    assert seen.worker is not None
    assert (seen.worker.handled, seen.worker.failed) == (1, len(EXITS))
    assert isinstance(seen.backend, InMemoryBackend)
    assert len(seen.backend.buried()) == len(EXITS)


def _causes(error: BaseException | None) -> list[BaseException]:
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__
    return found
