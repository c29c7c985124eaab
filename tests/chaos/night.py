"""An operator's night, scripted: each trouble comes, is named with its remedy, and passes.

`python -m tests.chaos.night` tells the night as it goes. No worker may end, and nothing that was accepted may
be lost: each event's number is printed by the handler that has finished it.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from abe_redis import Operations, RedisMessageQueueBackend, Settings
from abe_redis.doctor import examine
from abe_redis.errors import AbeRedisError
from abe_redis.operations import audit
from tests.hosts.processes import Child
from tests.patience import PATIENCE
from tests.servers import Server, any_binary

STREAM, GROUP = "slack_events", "bot"
LEASE_SECONDS = 1.5

BOT = """
import asyncio, time

async def handle(event):
    if event["n"] < 0:
        return
    if event.get("sleep"):
        await asyncio.sleep(event["sleep"])
    if event.get("block") and event.deliveries == 1:
        time.sleep(event["block"])
    print("done", event["n"], flush=True)
"""


class Night:
    """One night on a server of its own, with two workers."""

    def __init__(self, directory: Path, server: Server, *, events: int, say: Callable[[str], None]) -> None:
        self.said: dict[str, str] = {}
        """What the tools said of each trouble, while it lasted."""
        self.accepted: set[int] = set()
        self.workers: list[Child] = []
        self._directory, self._server, self._events, self._say = directory, server, events, say
        self._password = directory / "password"
        self._password.write_text("first", encoding="utf-8")
        (directory / "bot.py").write_text(BOT, encoding="utf-8")
        self._settings = Settings(
            redis_url=server.url,
            redis_password_file=self._password,
            redis_stream_lease_seconds=LEASE_SECONDS,
            redis_stream_patterns=STREAM,
        )
        self._number = 0

    @property
    def done(self) -> set[int]:
        """The numbers of the events that handlers have finished."""
        lines = [line for worker in self.workers for line in worker.lines]
        return {int(line.split()[1]) for line in lines if line.startswith("done ")}

    async def play(self, stack: ExitStack) -> None:
        """Let it all happen, in turn."""
        async with RedisMessageQueueBackend(self._settings) as backend:
            self._backend, self._operations = backend, Operations(backend)
            await self._a_backlog(stack)
            await self._a_blocking_handler()
            await self._a_handler_that_hangs()
            await self._a_frozen_worker()
            await self._a_destroyed_group()
            await self._a_deleted_consumer()
            await self._a_full_memory()
            await self._a_restarted_server()
            await self._a_rotated_password()
            await self._all_is_done()

    # The troubles ---------------------------------------------------------------------------------------

    async def _a_backlog(self, stack: ExitStack) -> None:
        await self._publish(self._events)
        self.said["backlog"] = await self._advised("no group, so nobody reads it: start a consumer")
        for number in range(2):
            self.workers.append(stack.enter_context(self._worker(number)))
        await self._all_is_done()

    async def _a_blocking_handler(self) -> None:
        await self._publish(1, block=3 * LEASE_SECONDS)
        self.said["blocking handler"] = await self._advised("or its handler blocks the event loop")
        await self._all_is_done()

    async def _a_handler_that_hangs(self) -> None:
        await self._publish(1, sleep=4 * LEASE_SECONDS)
        self.said["hanging handler"] = await self._advised("see where it waits")
        await self._all_is_done()

    async def _a_frozen_worker(self) -> None:
        await self._publish(8, sleep=LEASE_SECONDS)
        frozen = self.workers[0]
        await self._until(lambda: self._holds_something(frozen), "the worker to have work")
        frozen.signal(signal.SIGSTOP)
        try:
            self.said["frozen worker"] = await self._advised("its process is gone or frozen")
            await self._all_is_done()
        finally:
            frozen.signal(signal.SIGCONT)

    async def _a_destroyed_group(self) -> None:
        await self._publish(20)
        await self._all_is_done()
        await self._until(self._has_recorded_floor, "the group's place to be recorded")
        with self._server.admin() as admin:
            admin.xgroup_destroy(STREAM, GROUP)
        await self._publish(20)
        await self._all_is_done()
        redis = (await self._backend.connections()).commands
        (change, *_) = await self._until(lambda: audit.last(redis, 1), "the audit")
        self.said["destroyed group"] = f"{change.what}: {change.facts}"

    async def _a_deleted_consumer(self) -> None:
        await self._publish(6, sleep=LEASE_SECONDS)
        await self._until(lambda: self._holds_something(self.workers[0]), "the worker to have work")
        with self._server.admin() as admin:
            for row in admin.xinfo_consumers(STREAM, GROUP):
                admin.xgroup_delconsumer(STREAM, GROUP, row["name"])
        await self._until(self._put_back, "the worker to say so")
        await self._all_is_done()

    async def _a_full_memory(self) -> None:
        with self._server.admin() as admin:
            admin.config_set("maxmemory", "1")
            try:
                refused = await self._refusal()
                findings = [one for one in await examine(self._settings) if one.check == "memory"]
                self.said["full memory"] = f"{refused} {findings[0].found} {findings[0].advice}"
            finally:
                admin.config_set("maxmemory", "0")
        await self._publish(5)
        await self._all_is_done()

    async def _a_restarted_server(self) -> None:
        await asyncio.to_thread(self._server.stop)
        self.said["restarted server"] = await self._refusal()
        await asyncio.to_thread(self._server.start)
        await self._publish(5)
        await self._all_is_done()

    async def _a_rotated_password(self) -> None:
        with self._server.admin() as admin:
            admin.execute_command("ACL", "SETUSER", "default", "resetpass", ">second")
            admin.execute_command("CLIENT", "KILL", "USER", "default")
            self.said["rotated password"] = await self._refusal()
        self._password.write_text("second", encoding="utf-8")
        await self._publish(5)
        await self._all_is_done()

    # What it takes --------------------------------------------------------------------------------------

    def _worker(self, number: int) -> Child:
        command = f"-m abe_redis worker bot:handle --group {GROUP} --view envelope --concurrency 2"
        variables = os.environ | {
            "REDIS_URL": self._server.url,
            "REDIS_PASSWORD_FILE": str(self._password),
            "REDIS_STREAM_LEASE_SECONDS": str(LEASE_SECONDS),
            "REDIS_STREAM_PATTERNS": STREAM,
        }
        return Child(
            [sys.executable, *command.split()],
            cwd=self._directory,
            variables=variables,
            stderr=self._directory / f"worker-{number}.log",
        )

    async def _publish(self, count: int, **more: Any) -> None:
        """Publish until so many were accepted, as a host does that tries again."""
        for _ in range(count):
            self._number += 1
            await self._until(lambda: self._is_accepted(self._number, more), "Redis to take an event")

    async def _is_accepted(self, number: int, more: dict[str, Any]) -> bool:
        try:
            await self._backend.publish_event(STREAM, {"n": number, **more}, event_id=str(number))
        except AbeRedisError:
            return False
        self.accepted.add(number)
        return True

    async def _refusal(self) -> str:
        """The sentence with which an event is refused at present."""
        try:
            await self._backend.publish(STREAM, {"n": -1})
        except AbeRedisError as error:
            return str(error)
        raise AssertionError("Redis took an event in spite of the trouble")

    async def _advised(self, words: str) -> str:
        """The advice of `stats`, once it has these words."""
        self._say(f"waiting for stats to say: {words}")

        async def look() -> str:
            with suppress(AbeRedisError):
                (stream,) = await self._operations.glance(stream=STREAM)
                return stream.advice if words in stream.advice else ""
            return ""

        return str(await self._until(look, f"stats to say {words!r}"))

    async def _holds_something(self, worker: Child) -> bool:
        (stream,) = await self._operations.glance(stream=STREAM)
        consumers = [one for group in stream.groups for one in group.consumers]
        return any(f"-{worker.process.pid}-" in one.name and one.pending for one in consumers)

    async def _has_recorded_floor(self) -> bool:
        with self._server.admin() as admin:
            floor = admin.hget(f"abe:groups:{{{STREAM}}}", f"floor {GROUP}")
        return floor is not None and str(floor).split()[2] == "0"

    async def _put_back(self) -> str:
        words = "somebody had removed the consumer from the group"
        lines = [line for worker in self.workers for line in worker.stderr.splitlines() if words in line]
        self.said["deleted consumer"] = lines[0] if lines else ""
        return self.said["deleted consumer"]

    async def _all_is_done(self) -> None:
        async def is_done() -> bool:
            self._check_alive()
            return self.accepted <= self.done

        await self._until(is_done, "all that was accepted to be handled")
        self._say(f"{len(self.accepted)} accepted, all of them handled")

    def _check_alive(self) -> None:
        for worker in self.workers:
            assert worker.process.poll() is None, worker.stderr[-2000:]

    async def _until(self, condition: Callable[[], Awaitable[Any]], what: str) -> Any:
        end = time.monotonic() + 2 * PATIENCE
        while not (found := await condition()):
            assert time.monotonic() < end, f"waited in vain for {what}"
            await asyncio.sleep(0.05)
        return found


def play(*, events: int, say: Callable[[str], None] = lambda _: None) -> Night:
    """Play a night, end the workers in peace, and return what it was like."""
    binary = any_binary()
    assert binary is not None, "a night needs a server"
    users = {"default": "on >first ~* &* +@all"}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="abe-redis-night-")))
        server = stack.enter_context(Server(binary, persistent=True, users=users))
        night = Night(directory, server, events=events, say=say)
        asyncio.run(night.play(stack))
        for worker in night.workers:
            worker.signal(signal.SIGTERM)
        for worker in night.workers:
            assert worker.wait() == 0, worker.stderr[-2000:]
    return night


if __name__ == "__main__":
    for trouble, words in play(events=20_000, say=print).said.items():
        print(f"\n{trouble}:\n  {words}")  # noqa: T201
