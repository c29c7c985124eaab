"""The steps of a soak, each on a fresh server: what is there, and what is done to it."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import anyio
import redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.operations.operations import Operations
from abe_redis.operations.scope import Scope
from benchmarks.ledger import cpu_seconds, seed
from tests.servers import Server

STREAM, GROUP, HANDLERS = "slack_events", "workers", 64
KILOBYTES = 1.2
_CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step used."""

    step: str
    events: int
    seconds: float
    client_cpu: float
    """CPU seconds of the process that does it."""
    server_cpu: float
    """CPU seconds of the server."""
    longest: float
    """Milliseconds of the longest command, as the server's slow log has it."""
    longest_name: str
    """That command."""
    commands: int
    """How many commands the server carried out."""


type Step = Callable[[RedisMessageQueueBackend], Awaitable[object]]


@asynccontextmanager
async def backend_of(server: Server) -> AsyncIterator[RedisMessageQueueBackend]:
    """A back end whose stream may hold all that a soak has, and keeps what one group has finished."""
    settings = Settings(
        redis_url=server.url,
        redis_stream_maxlen=9_000_000,
        redis_stream_hard_maxlen=10_000_000,
        redis_stream_lease_seconds=2,
    )
    async with RedisMessageQueueBackend(settings) as backend:
        yield backend


async def timed(server: Server, step: str, events: int, do: Step) -> Cost:
    """Do it, and say what it cost."""
    with server.admin() as client:
        client.config_set("slowlog-log-slower-than", 200)
        client.config_set("slowlog-max-len", 100_000)
        client.slowlog_reset()
        client.config_resetstat()
        async with backend_of(server) as backend:
            began, ours, theirs = time.monotonic(), time.process_time(), cpu_seconds(client)
            await do(backend)
            spent = time.monotonic() - began, time.process_time() - ours, cpu_seconds(client) - theirs
        slow: Any = client.slowlog_get(100_000)
        info: Any = client.info("stats")
    slow = [one for one in slow if not one["command"].upper().startswith((b"SLOWLOG", b"INFO", b"CONFIG"))]
    longest: Any = max(slow, key=lambda one: one["duration"], default={"duration": 0, "command": b"-"})
    return Cost(
        *(step, events, *spent),
        longest=longest["duration"] / 1000,
        longest_name=longest["command"].split()[0].decode(),
        commands=info["total_commands_processed"],
    )


def handles(count: int, *, group: str = GROUP, buries: bool = False) -> Step:
    """Let one worker handle so many events; or give up on each."""

    async def handle_all(backend: RedisMessageQueueBackend) -> None:
        handled = 0

        async def handle(event: Event) -> None:
            nonlocal handled
            handled += 1
            if buries:
                await event.bury(reason="The file is gone.")
            if handled == count:
                tasks.cancel_scope.cancel()

        worker = EventWorker(backend, handle, group=group, concurrency=HANDLERS)
        with anyio.fail_after(3600):
            async with anyio.create_task_group() as tasks:
                await worker.run()

    return handle_all


def leave_pending(server: Server, count: int) -> None:
    """Let a consumer lease so many events ahead, of which it begins none, and never come back."""
    with server.admin() as client:
        with suppress(redis.ResponseError):  # the group is there
            client.xgroup_create(STREAM, GROUP, "0")
        for _ in range(0, count, _CHUNK):
            answer: Any = client.xreadgroup(GROUP, "gone", {STREAM: ">"}, count=_CHUNK)
            ids = [entry_id for _, entries in answer for entry_id, _ in entries]
            client.xclaim(STREAM, GROUP, "gone", 0, ids, retrycount=0, justid=True)


async def soak(server: Server, *, events: int, pending: int, dead: int) -> AsyncIterator[Cost]:
    """Play all steps on one server, which each begins empty.

    Args:
        server: It runs, and holds nothing that is needed.
        events: How many wait for a worker.
        pending: How many a consumer holds that is gone.
        dead: How many become dead letters.
    """
    with server.admin() as client:
        client.flushall()
        seed(client, STREAM, count=events, kilobytes=KILOBYTES)
    yield await timed(server, "One worker handles all of a new group", events, handles(events))
    yield await timed(
        server, "Another group begins at the oldest event", events, handles(events, group="second")
    )
    with server.admin() as client:
        client.flushall()
        seed(client, STREAM, count=pending, kilobytes=KILOBYTES)
    leave_pending(server, pending)
    yield await timed(server, "`stats` while all of them are pending", pending, _stats)
    await anyio.sleep(2)  # the lease of whoever held them
    yield await timed(
        server, "A worker takes over what one that is gone had leased ahead", pending, handles(pending)
    )
    with server.admin() as client:
        client.flushall()
        seed(client, STREAM, count=dead, kilobytes=KILOBYTES)
    yield await timed(server, "A worker buries each", dead, handles(dead, buries=True))
    yield await timed(server, "`stats` beside the dead letters", dead, _stats)
    yield await timed(server, "`dead summary`", dead, _summary)
    yield await timed(server, "`dead redrive --all`", dead, _redrive)
    yield await timed(server, "A worker handles what was redriven", dead, handles(dead))


async def _stats(backend: RedisMessageQueueBackend) -> object:
    return await Operations(backend).stream_stats(ages=True)


async def _summary(backend: RedisMessageQueueBackend) -> object:
    return await DeadLetters(Scope(backend)).summarise(None, Choice(everything=True))


async def _redrive(backend: RedisMessageQueueBackend) -> object:
    return await DeadLetters(Scope(backend)).redrive(STREAM, Choice(everything=True))
