"""The processes that the chaos is made for; each is started as `python -m tests.chaos.actors ROLE …`.

What an actor has done is a line in its own file, written with one system call: a SIGKILL cannot take it back.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import anyio
import redis.asyncio
from redis.exceptions import RedisError

from abe_redis import Backoff, Event, EventWorker, RedisMessageQueueBackend
from abe_redis.errors import AbeRedisError
from tests.chaos.log import Log

GROUP, ORDERED_GROUP = "workers", "ordered"
CHILD = "000"
"""What the name of a forked process ends with, after its parent's."""
NEW_NUMBER = 600_000
"""What is added to the number of an event that nobody can publish again as the same."""
CONVERSATIONS = 100
STREAMS = tuple(os.environ.get("CHAOS_STREAMS", "slack:a slack:b slack:drained").split())
"""Slack resends to the first two; `slack:drained` is deleted whenever it is drained."""


class Book:
    """Numbers, one a line with its monotonic time, that outlive the process; and beside them its history."""

    def __init__(self, path: str) -> None:
        self.log = Log(path)
        self._runs = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, number: int, *more: float) -> None:
        times = " ".join(f"{at:.6f}" for at in (time.monotonic(), *more))
        os.write(self._file, f"{number} {times}\n".encode())

    @contextmanager
    def run(self, event: Event) -> Iterator[None]:
        """Write down when a handler begins with an event, and how it ends."""
        number, channel = event["event"]["n"], event["event"].get("channel")
        self._runs += 1
        seen: dict[str, Any] = {
            "group": event.group,
            "event": str(number),
            "stream": event.stream,
            "conversation": f"{event.stream} {channel}" if channel else "",
            "deliveries": event.deliveries,
            "run": self._runs,
        }
        self.log.note("start", **seen)
        try:
            yield
        except asyncio.CancelledError:
            self.log.note("cancelled", **seen)
            raise
        except BaseException:
            self.log.note("failed", **seen)
            raise
        self.log.note("done", **seen)


_BEAT_SECONDS = 0.1


@asynccontextmanager
async def beating(book: Book, backend: RedisMessageQueueBackend) -> AsyncIterator[None]:
    """Ask the server all the time, and write down when it answers: on a busy machine, nobody else knows."""

    async def beat() -> None:
        answered = time.monotonic()
        while True:
            await anyio.sleep(_BEAT_SECONDS)
            try:
                await (await backend.connections()).commands.exists(STREAMS[0])
            except (AbeRedisError, RedisError, OSError):
                continue
            before, answered = answered, time.monotonic()
            book.log.note("answered", since=before)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        yield
        tasks.cancel_scope.cancel()


async def publisher(
    book: Book,
    seed: int,
    first: int,
    count: int,
    per_second: float,
    made: RedisMessageQueueBackend | None = None,
) -> None:
    """Publish numbered events until each was accepted; resend some, as Slack does.

    Args:
        made: A back end that was made before; then every second event has no id of Slack's, as other hosts'.
    """
    chance = random.Random(seed)
    accepted: list[int] = []

    async def send(number: int) -> int:
        stream = STREAMS[number % len(STREAMS)]
        payload = {
            "type": "event_callback",
            "event": {"type": "message", "n": number, "channel": f"C{number % CONVERSATIONS}"},
        }
        if not is_nameless(number):
            payload["event_id"] = f"Ev{number}"
        while True:
            try:
                await backend.publish(stream, payload)
            except AbeRedisError:
                await anyio.sleep(0.2)  # not accepted: whoever sent it sends it again
                if is_nameless(number):
                    return await send(number + NEW_NUMBER)
            else:
                return number

    def is_nameless(number: int) -> bool:
        return made is not None and number % 2 == 1

    async def publish(number: int) -> None:
        number = await send(number)
        book.note(number)
        stream = STREAMS[number % len(STREAMS)]
        conversation = f"{stream} C{number % CONVERSATIONS}"
        book.log.note("accepted", event=str(number), stream=stream, conversation=conversation)
        accepted.append(number)

    backend = made or RedisMessageQueueBackend.from_env()
    async with backend, anyio.create_task_group() as tasks:
        for number in range(first, first + count):
            tasks.start_soon(publish, number)
            if accepted and chance.random() < 0.1:
                again = chance.choice(accepted[-200:])
                if STREAMS[again % len(STREAMS)] != "slack:drained" and not is_nameless(again):
                    tasks.start_soon(send, again)
            await anyio.sleep(1 / per_second)


async def worker(
    book: Book,
    seed: int,
    *,
    group: str = GROUP,
    ordered: bool = False,
    made: RedisMessageQueueBackend | None = None,
) -> None:
    """Process events; some fail the first time."""
    chance = random.Random(seed)

    async def handle(event: Event) -> None:
        with book.run(event):
            number = event["event"]["n"]
            await anyio.sleep(chance.random() * 0.01)
            if number % 50 == 0 and event.deliveries == 1:
                raise ValueError("the first time is never right")
            book.note(number)

    async with made or RedisMessageQueueBackend.from_env() as backend, beating(book, backend):
        await EventWorker(
            backend,
            handle,
            group=group,
            concurrency=8,
            policy=Backoff(first=0.1, deliveries=99),
            ordered=ordered,
        ).run()


async def ordered_worker(book: Book, seed: int) -> None:
    """The same in another group, in which each conversation has its order."""
    await worker(book, seed, group=ORDERED_GROUP, ordered=True)


async def talker(book: Book, seed: int, ordered: int) -> None:
    """Process the events of conversations, in their order or not; one in twenty fails the first time."""
    chance = random.Random(seed)

    async def handle(event: Event) -> None:
        began = time.monotonic()
        number = event["event"]["n"]
        with book.run(event):
            await anyio.sleep(chance.random() * 0.01)
            if number * 7 % 20 == 0 and event.deliveries == 1:
                raise ValueError("the first time is never right")
            book.note(number, began)

    async with RedisMessageQueueBackend.from_env() as backend, beating(book, backend):
        worker = EventWorker(
            backend,
            handle,
            group=GROUP,
            concurrency=8,
            policy=Backoff(first=0.1, deliveries=99),
            ordered=bool(ordered),
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                await anext(signals)
                await worker.shutdown()


async def naive(book: Book, seed: int) -> None:
    """The loop that everybody writes first: XREADGROUP, XACK of what came, then the work."""
    name = f"naive-{seed}-{os.getpid()}"
    while True:
        try:
            async with redis.asyncio.Redis.from_url(os.environ["REDIS_URL"], protocol=2) as client:
                for stream in STREAMS:
                    try:
                        await client.xgroup_create(stream, GROUP, "0", mkstream=True)
                    except RedisError as error:
                        if "BUSYGROUP" not in str(error):
                            raise
                while True:
                    reply: Any = await client.xreadgroup(
                        GROUP, name, dict.fromkeys(STREAMS, ">"), count=10, block=500
                    )
                    for stream, entries in reply:
                        await client.xack(stream, GROUP, *(entry_id for entry_id, _ in entries))
                        for _, fields in entries:
                            await asyncio.sleep(0.02)  # slower than they come: there is always one in hand
                            book.note(json.loads(fields[b"data"])["event"]["n"])
        except (RedisError, OSError):
            await asyncio.sleep(0.2)


def fork(path: str) -> tuple[RedisMessageQueueBackend, str]:
    """Make a back end, use it, and fork: parent and child go on with it, as under `gunicorn --preload`.

    Returns:
        The back end, and the path of the book of whoever goes on.
    """
    backend = RedisMessageQueueBackend.from_env()

    async def use() -> None:
        await (await backend.connections()).commands.exists(STREAMS[0])

    with suppress(AbeRedisError, RedisError, OSError):  # the server may be away
        asyncio.run(use())
    return backend, path if os.fork() else f"{path}{CHILD}"


def forked_worker(path: str, seed: int, ordered: int) -> None:
    """Two workers, of which one is forked from the other."""
    backend, mine = fork(path)
    group = ORDERED_GROUP if ordered else GROUP
    asyncio.run(worker(Book(mine), seed, group=group, ordered=bool(ordered), made=backend))


def forked_publisher(path: str, seed: int, count: int, per_second: int) -> None:
    """Two publishers, of which one is forked from the other; each publishes so many."""
    backend, mine = fork(path)
    first = 0 if mine == path else count
    asyncio.run(publisher(Book(mine), seed + first, first, count, per_second, made=backend))
    if mine == path:
        os.wait()


if __name__ == "__main__":
    role, path, *numbers = sys.argv[1:]
    if role.startswith("forked-"):
        (forked_worker if role == "forked-worker" else forked_publisher)(path, *map(int, numbers))
        sys.exit()
    program = {
        "publisher": publisher,
        "worker": worker,
        "ordered-worker": ordered_worker,
        "talker": talker,
        "naive": naive,
    }[role]
    asyncio.run(program(Book(path), *map(int, numbers)))  # type: ignore[operator]
