"""The bot of the tests of the worker command: handlers that say what they do, and when, as lines of JSON.

It is copied into the directory where the worker is started, as `bot.py`.
"""

import asyncio
import gc
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anyio


def say(what: str, event: Any, **facts: Any) -> None:
    facts |= {"what": what, "n": event.get("n"), "deliveries": getattr(event, "deliveries", None)}
    line = json.dumps(facts | {"at": time.monotonic()}) + "\n"
    os.write(1, line.encode())  # in one piece, also from several threads


async def handle(event: dict[str, Any]) -> None:
    """Works for as long as the event says."""
    say("started", event)
    await anyio.sleep(event.get("seconds", 0))
    say("finished", event)


async def tell_of_the_collector(event: dict[str, Any]) -> None:
    say("collector", event, first=gc.get_threshold()[0], frozen=gc.get_freeze_count())


async def endless(event: dict[str, Any]) -> None:
    say("started", event)
    try:
        await anyio.sleep_forever()
    finally:
        say("cancelled", event)


async def shielded(event: dict[str, Any]) -> None:
    say("started", event)
    with anyio.CancelScope(shield=True):
        await anyio.sleep_forever()


async def fails_when_cancelled(event: dict[str, Any]) -> None:
    say("started", event)
    try:
        await anyio.sleep_forever()
    finally:
        raise ValueError("while it was cleaning up")


async def endless_at_first(event: Any) -> None:
    say("started", event)
    if event.deliveries == 1:
        await anyio.sleep_forever()


def in_thread(event: dict[str, Any]) -> None:
    say("started", event, main=threading.current_thread() is threading.main_thread())


def blocking(event: dict[str, Any]) -> None:
    say("started", event)
    time.sleep(3600)


async def blocking_in_a_thread_of_asyncio(event: dict[str, Any]) -> None:
    await asyncio.to_thread(blocking, event)


together = threading.Barrier(45)


def meets_others(event: dict[str, Any]) -> None:
    together.wait(120)
    say("met", event)


async def fails(event: dict[str, Any]) -> None:
    say("started", event)
    raise ValueError("cannot with xoxb-1-secret")


async def shows(event: dict[str, Any]) -> None:
    say("got", event, payload=event)


async def doubles(event: dict[str, Any]) -> int:
    return 2 * int(event["n"])


async def logs(event: dict[str, Any]) -> None:
    logging.getLogger("of.another.library").info("not shown")
    logging.getLogger("of.another.library").debug("only shown with -v")
    say("running on", event, loop=type(asyncio.get_running_loop()).__module__)


class Bot:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()  # as aiohttp's ClientSession does

    async def handle_event(self, event: dict[str, Any]) -> None:
        assert self.loop is asyncio.get_running_loop()
        say("started", event)


class Callable:
    async def __call__(self, event: dict[str, Any]) -> None:
        say("started", event)


class Elsewhere:
    async def handle_event(self, event: dict[str, Any]) -> None:
        say("started", event)


an_object = Elsewhere()
app = SimpleNamespace(events=SimpleNamespace(handle=handle))


# What is no handler.


class WithArguments:
    def __init__(self, token: str) -> None: ...

    async def handle_event(self, event: dict[str, Any]) -> None: ...


class WithoutHandleEvent: ...


class Broken:
    def __init__(self) -> None:
        raise RuntimeError("no token")

    async def handle_event(self, event: dict[str, Any]) -> None: ...


class Holder:
    handle_event = "not callable"


def two(event: dict[str, Any], say: Any) -> None: ...


def none() -> None: ...


def yields(event: dict[str, Any]) -> Iterator[int]:
    yield 1


number = 1
