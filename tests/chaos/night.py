"""An operator's night, scripted: each trouble comes, is named with its remedy, and passes.

`python -m tests.chaos.night` tells the night as it goes. No worker may end, and the checker that knows only
the promise reads what everybody did. What `abe-redis stats` says of each trouble, while it lasts, is kept.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from abe_redis import Operations, RedisMessageQueueBackend, Settings
from abe_redis.errors import AbeRedisError
from tests.chaos import log, troubles
from tests.chaos.checker import violations
from tests.chaos.history import Group, History, Left, Outage, Record, Violation
from tests.hosts.processes import Child
from tests.patience import PATIENCE
from tests.server_binaries import any_binary
from tests.servers import Server

STREAM, GROUP = "slack_events", "bot"
LEASE_SECONDS = 1.5
RECONNECT_SECONDS = 2.0
"""How soon one who lost the server has it back."""
_STEP = 500

BOT = """
import asyncio, itertools, os, time
from tests.chaos.log import Log

LOG, RUNS = Log(os.environ["NIGHT_LOG"]), itertools.count()

async def handle(event):
    if event["n"] < 0:
        return
    seen = {"group": event.group, "event": str(event["n"]), "stream": event.stream,
            "deliveries": event.deliveries, "run": next(RUNS)}
    LOG.note("start", **seen)
    try:
        if event.get("sleep"):
            await asyncio.sleep(event["sleep"])
        if event.get("block") and event.deliveries == 1:
            time.sleep(event["block"])
    except asyncio.CancelledError:
        LOG.note("cancelled", **seen)
        raise
    LOG.note("done", **seen)
"""


class Night:
    """One night on a server of its own, with two workers."""

    def __init__(self, directory: Path, server: Server, *, events: int, say: Callable[[str], None]) -> None:
        self.said: dict[str, str] = {}
        """What is said of each trouble, while it lasts."""
        self.accepted: set[int] = set()
        self.given_up: set[int] = set()
        """Numbers of events that somebody removed on purpose: they must be counted as lost."""
        self.lost = 0
        self.workers: list[Child] = []
        self.directory, self.server, self.events, self.say = directory, server, events, say
        self.password = directory / "password"
        self.password.write_text("first", encoding="utf-8")
        (directory / "bot.py").write_text(BOT, encoding="utf-8")
        self.settings = Settings(
            redis_url=server.url,
            redis_password_file=self.password,
            redis_stream_lease_seconds=LEASE_SECONDS,
            redis_stream_patterns=STREAM,
            redis_stream_group=GROUP,
        )
        self.history = History({GROUP: Group(False, 99)}, {}, in_order=False)
        self.done: set[int] = set()
        """Numbers of the events that handlers have finished, as far as they were read."""
        self.blocked: dict[str, float] = {}
        """Events whose first handler blocks its loop, and for how many seconds."""
        self._read: dict[Path, int] = {}
        self._number = 0

    async def play(self, stack: ExitStack) -> None:
        """Let it all happen, in turn."""
        async with RedisMessageQueueBackend(self.settings) as backend:
            self.backend, self.operations = backend, Operations(backend)
            for trouble in troubles.ALL:
                self.say(trouble.__name__.removeprefix("a_").replace("_", " "))
                await trouble(self, stack)
                await self.all_is_done()

    def check(self) -> list[Violation]:
        """What the history of all says against the promise, when all have ended."""
        history = self.history
        history.records += list(log.read(self.directory))
        history.leases = {one.process: LEASE_SECONDS for one in history.records if one.process}
        for one in history.records:
            if one.what == "start" and one.event in self.blocked and one.deliveries == 1:
                history.outages.append(Outage(one.process, one.at, one.at + self.blocked[one.event] + 1))
        history.records += [
            Record(time.monotonic(), "removed", event=str(number), stream=STREAM) for number in self.given_up
        ]
        history.left[GROUP] = Left(lost={STREAM: self.lost})
        return violations(history)

    # What troubles use ----------------------------------------------------------------------------------

    def start_worker(self, stack: ExitStack) -> None:
        """One more worker."""
        number = len(self.workers)
        command = f"-m abe_redis worker bot:handle --group {GROUP} --view envelope --concurrency 2"
        variables = os.environ | {
            "REDIS_URL": self.server.url,
            "REDIS_PASSWORD_FILE": str(self.password),
            "REDIS_STREAM_LEASE_SECONDS": str(LEASE_SECONDS),
            "REDIS_STREAM_PATTERNS": STREAM,
            "REDIS_STREAM_MAX_DELIVERIES": "99",
            "NIGHT_LOG": str(self.directory / f"worker-{number}"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        worker = Child(
            [sys.executable, *command.split()],
            cwd=self.directory,
            variables=variables,
            stderr=self.directory / f"worker-{number}.log",
        )
        self.workers.append(stack.enter_context(worker))

    async def publish(self, count: int, **more: Any) -> set[int]:
        """Publish until so many were accepted, as a host does that tries again."""
        numbers = set[int]()
        for _ in range(count):
            self._number += 1
            numbers.add(self._number)
            await self.until(lambda: self._is_accepted(self._number, more), "Redis to take an event")
        return numbers

    async def publish_backlog(self) -> None:
        """Publish what waits for the workers, many at once."""
        for first in range(1, self.events + 1, _STEP):
            numbers = range(first, min(first + _STEP, self.events + 1))
            await self.backend.publish_many(STREAM, [{"n": number} for number in numbers])
            for number in numbers:
                self.note_accepted(number)
        self._number = self.events

    def note_accepted(self, number: int) -> None:
        """Note that an event was accepted."""
        self.accepted.add(number)
        self.history.note(Record(time.monotonic(), "accepted", event=str(number), stream=STREAM))

    def note(self, what: Any) -> None:
        """Note what somebody did to the group."""
        stream = STREAM if what == "destroyed" else ""
        self.history.note(Record(time.monotonic(), what, group=GROUP, stream=stream))

    def next_number(self) -> int:
        """The number of one more event, which somebody else publishes."""
        self._number += 1
        return self._number

    @contextmanager
    def outage(self, worker: int | None = None) -> Iterator[None]:
        """A time in which a worker, or everybody, is without the server."""
        began = time.monotonic()
        try:
            yield
        finally:
            process = "" if worker is None else f"worker-{worker}"
            self.history.outages.append(Outage(process, began, time.monotonic() + RECONNECT_SECONDS))

    @contextmanager
    def frozen(self, worker: int) -> Iterator[None]:
        """A time in which a worker stands still."""
        with self.outage(worker):
            self.workers[worker].signal(signal.SIGSTOP)
            try:
                yield
            finally:
                self.workers[worker].signal(signal.SIGCONT)

    async def refusal(self) -> str:
        """The sentence with which an event is refused at present."""
        try:
            await self.backend.publish(STREAM, {"n": -1})
        except AbeRedisError as error:
            return str(error)
        raise AssertionError("Redis took an event in spite of the trouble")

    async def stats(self) -> str:
        """What `abe-redis stats` says, in words."""
        streams: list[Any] = []
        try:
            streams = (await self.operations.stream_stats()).streams
        except AbeRedisError as error:
            with suppress(AbeRedisError):
                return " ".join([*await self.operations.causes([]), str(error)])
            return str(error)
        return " ".join([*await self.operations.causes(streams), *(one.advice for one in streams)])

    async def advised(self, words: str) -> str:
        """What `stats` says, once it has these words."""

        async def look() -> str:
            try:
                said = await self.stats()
            except AbeRedisError as error:
                said = str(error)
            return said if words in said else ""

        return str(await self.until(look, f"stats to say {words!r}"))

    async def consumers(self) -> list[Any]:
        """The consumers of the group, as `stats` knows them."""
        (stream,) = await self.operations.glance(stream=STREAM)
        return [one for group in stream.groups for one in group.consumers]

    async def somebody_works(self) -> bool:
        """Whether a worker has work; which one takes it is up to Redis."""
        return any(one.pending for one in await self.consumers())

    async def all_is_done(self) -> None:
        """Wait until all that was accepted is handled; no worker may end meanwhile."""

        async def is_done() -> bool:
            for worker in self.workers:
                assert worker.process.poll() is None, worker.stderr[-2000:]
            self._read_done()
            return self.accepted - self.given_up <= self.done

        await self.until(is_done, "all that was accepted to be handled")
        self.say(f"  {len(self.accepted)} accepted, all of them handled")

    async def until(self, condition: Callable[[], Awaitable[Any]], what: str) -> Any:
        """Wait for something true, and return it; while events are handled, it is on its way."""
        done, end = -1, 0.0
        while not (found := await condition()):
            if len(self.done) > done:
                done, end = len(self.done), time.monotonic() + 2 * PATIENCE
            assert time.monotonic() < end, f"waited in vain for {what}; stats: {await self.stats()}"
            await asyncio.sleep(0.05)
        return found

    async def _is_accepted(self, number: int, more: dict[str, Any]) -> bool:
        try:
            await self.backend.publish_event(STREAM, {"n": number, **more}, event_id=str(number))
        except AbeRedisError:
            return False
        self.note_accepted(number)
        return True

    def _read_done(self) -> None:
        """Read what the workers have written since the last time."""
        for path in self.directory.glob(f"*{log.SUFFIX}"):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                lines = file.read().splitlines(keepends=True)
            whole = [line for line in lines if line.endswith(b"\n")]
            self._read[path] = self._read.get(path, 0) + sum(map(len, whole))
            records = [Record(**json.loads(line)) for line in whole]
            self.done |= {int(one.event) for one in records if one.what == "done"}


def play(*, events: int, say: Callable[[str], None] = lambda _: None) -> Night:
    """Play a night, end the workers in peace, and return what it was like."""
    binary = any_binary()
    assert binary is not None, "a night needs a server"
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="abe-redis-night-")))
        server = stack.enter_context(Server(binary, persistent=True, users=troubles.USERS))
        night = Night(directory, server, events=events, say=say)
        asyncio.run(night.play(stack))
        for worker in night.workers:
            worker.signal(signal.SIGTERM)
        for number, worker in enumerate(night.workers):
            assert worker.wait() == 0, worker.stderr[-2000:]
            night.history.note(Record(time.monotonic(), "gone", f"worker-{number}"))
        found = night.check()
    assert not found, "\n".join(one.sentence for one in found)
    return night


if __name__ == "__main__":
    for trouble, words in play(events=200_000, say=print).said.items():
        print(f"\n{trouble}:\n  {words}")  # noqa: T201
