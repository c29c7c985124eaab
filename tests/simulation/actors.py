"""The real engine in simulated processes: one that publishes, and workers; what they do is written down."""

import asyncio
from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abe_redis import Backoff, Event, EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.errors import AbeRedisError
from tests.chaos.history import History, Record, Violation
from tests.simulation.process import Process
from tests.simulation.schedule import Schedule
from tests.simulation.world import World

if TYPE_CHECKING:
    from abe_redis.publishing.outbox_delivery import Outbox


@lru_cache(maxsize=256)
def settings_for(lease: float, deliveries: int, maxlen: int, outbox: Path | None = None) -> Settings:
    return Settings(
        redis_outbox=outbox,
        redis_url="unix:///simulated/redis.sock",
        redis_stream_lease_seconds=lease,
        redis_stream_max_deliveries=deliveries,
        redis_stream_maxlen=maxlen,
        redis_stream_patterns="slack:*",
        _env_file=None,
    )


def _payload(number: int) -> dict[str, Any]:
    return {
        "type": "event_callback",
        "event_id": f"Ev{number}",
        "event": {"type": "message", "channel": f"C{number % 2}", "n": number},
    }


class Actors:
    """Who acts in a schedule."""

    def __init__(self, world: World, schedule: Schedule, history: History) -> None:
        self._world = world
        self._schedule = schedule
        self._history = history
        self._processes: dict[str, Process] = {}
        self._workers: dict[str, EventWorker] = {}
        self.host = ""
        """The process that publishes."""
        self._outboxes: dict[str, Outbox] = {}
        """By process."""
        self.group_of: dict[str, str] = {}
        """By worker."""
        self._durations = dict(schedule.durations)
        self._failing = dict(schedule.failing)
        self._failed: dict[tuple[str, int], int] = {}
        self._stream_of: dict[int, str] = {}
        self._runs = self._hosts = 0
        self._accepted, self._finished = set[tuple[str, str]](), set[tuple[str, str]]()
        """Groups with the events that they have to finish, and that they have finished."""
        self.unpublished = 0
        """How many events nobody knows of yet whether they are accepted."""
        self.ended_badly: list[Violation] = []
        """Workers that ended though nobody ended them."""

    def note(self, what: Any, process: str = "", **more: Any) -> None:
        """Write something down, unless its process is dead."""
        who = self._processes.get(process)
        if who is None or who.alive:
            if what == "accepted":
                self._accepted |= {(group, more["event"]) for group in self._history.groups}
            elif what in {"done", "buried"}:
                self._finished.add((more["group"], more["event"]))
            elif what == "redriven":
                self._finished.discard((more["group"], more["event"]))
            clock = who.monotonic() if who else 0.0
            self._history.note(Record(self._world.now, what, process, clock=clock, **more))

    @property
    def has_accepted(self) -> bool:
        """Whether any event was accepted."""
        return bool(self._accepted)

    @property
    def has_finished_all(self) -> bool:
        """Whether every group has finished every event that was accepted."""
        return not self.unpublished and self._accepted <= self._finished

    def add(self, name: str) -> Process:
        """Start a process of which others say what it does."""
        process = self._processes[name] = self._world.process(name)
        return process

    # Who publishes ------------------------------------------------------------------------------

    def start_host(self) -> None:
        """Start the process that publishes, beside those before it, or instead of one that is dead."""
        self._hosts += 1
        self.host = "host" if self._hosts == 1 else f"host{self._hosts}"
        schedule, process = self._schedule, self.add(self.host)
        with self._world.as_process(process):
            more = (schedule.outbox,) if schedule.outbox else ()
            settings = settings_for(2.0, schedule.max_deliveries, schedule.maxlen, *more)
            backend = RedisMessageQueueBackend(settings)
        self._to_publish = asyncio.Queue[tuple[str, tuple[int, ...]]]()
        process.spawn(self._host(self.host, backend, self._to_publish), "host")

    def kill_host(self) -> None:
        """Kill the process that publishes: nobody knows whether what it was about to publish is accepted."""
        self.unpublished = 0
        self.kill(self._processes[self.host])
        if (outbox := self._outboxes.pop(self.host, None)) is not None:
            outbox.forsake()  # the kernel closes its files, and drops its locks

    def close(self) -> None:
        """Close every file."""
        for outbox in self._outboxes.values():
            outbox.forsake()

    async def _host(
        self,
        name: str,
        backend: RedisMessageQueueBackend,
        to_publish: asyncio.Queue[tuple[str, tuple[int, ...]]],
    ) -> None:
        """Publishes one thing after the other, and knows which events were accepted."""
        if (outbox := backend._publisher.outbox) is not None:
            self._outboxes[name] = outbox
            backend.forward()
        while True:
            stream, numbers = await to_publish.get()
            try:
                if len(numbers) == 1:
                    await backend.publish(stream, _payload(numbers[0]))
                else:
                    await backend.publish_many(stream, [_payload(number) for number in numbers])
            except AbeRedisError:
                pass  # not accepted
            else:
                for number in numbers:
                    of = f"{stream} C{number % 2}"
                    self.note("accepted", name, event=str(number), stream=stream, conversation=of)
            finally:
                self.unpublished -= len(numbers)

    def decide(self, event: int, seconds: float, failures: int) -> None:
        """Say how long the handlers of an event work, and how often they fail."""
        self._durations[event], self._failing[event] = seconds, failures

    def publish(self, stream: str, events: tuple[int, ...]) -> None:
        """Let events be published, one after the other."""
        for event in events:
            self._put(stream, (event,))

    def publish_many(self, stream: str, events: tuple[int, ...]) -> None:
        """Let events be published by one call."""
        self._put(stream, events)

    def publish_again(self, events: tuple[int, ...]) -> None:
        """Let events be published again, as Slack does."""
        for event in events:
            if event in self._stream_of:
                self.publish(self._stream_of[event], (event,))

    def _put(self, stream: str, events: tuple[int, ...]) -> None:
        for event in events:
            self._stream_of[event] = stream
        self.unpublished += len(events)
        with self._world.as_process(self._processes[self.host]):
            self._to_publish.put_nowait((stream, events))

    # Who works ----------------------------------------------------------------------------------

    def start_worker(self, name: str, group: str, lease: float) -> None:
        """Start a process with a worker."""
        schedule = self._schedule
        process = self.add(name)
        with self._world.as_process(process):
            backend = RedisMessageQueueBackend(settings_for(lease, schedule.max_deliveries, schedule.maxlen))
            worker = self._workers[name] = EventWorker(
                backend,
                partial(self._handle, process, group),
                group=group,
                concurrency=schedule.concurrency,
                policy=Backoff(
                    first=schedule.delay, most=max(1.0, schedule.delay), deliveries=schedule.max_deliveries
                ),
                drain_seconds=0.5,
                ordered=dict(schedule.groups)[group],
            )
        self.group_of[name] = group
        process.spawn(self._work(process, backend, worker), name)

    def process_of(self, name: str) -> Process | None:
        """The process of a worker, while it lives."""
        process = self._processes.get(name)
        return process if process is not None and process.alive else None

    def have_somebody_in(self, groups: Iterable[str]) -> bool:
        """Whether each group has a worker that lives."""
        there = {group for name, group in self.group_of.items() if self._processes[name].alive}
        return there >= set(groups)

    def kill(self, process: Process) -> None:
        """Kill a process."""
        self.note("gone", process.name)
        process.kill()

    def stop(self, process: Process) -> None:
        """Ask a worker to end, as SIGTERM does."""
        process.spawn(self._workers[process.name].shutdown(), "shutdown")

    async def _work(self, process: Process, backend: RedisMessageQueueBackend, worker: EventWorker) -> None:
        try:
            async with backend:
                await worker.run()
        except Exception as error:  # noqa: BLE001 - whatever ends it
            sentence = f"{process.name} ended by itself: {type(error).__name__}: {error}"
            self.ended_badly.append(Violation("ended", "", sentence))
        finally:
            del self.group_of[process.name]
            self.note("gone", process.name)

    async def _handle(self, process: Process, group: str, event: Event) -> None:
        number = event["event"]["n"]
        self._runs += 1
        seen: dict[str, Any] = {
            "group": group,
            "event": str(number),
            "stream": event.stream,
            "conversation": f"{event.stream} C{number % 2}",
            "deliveries": event.deliveries,
            "run": self._runs,
        }
        self.note("start", process.name, **seen)
        try:
            await asyncio.sleep(self._durations.get(number, 0.01))
        except asyncio.CancelledError:
            self.note("cancelled", process.name, **seen)
            raise
        failed = self._failed.get((group, number), 0)
        if failed < self._failing.get(number, 0):
            self._failed[group, number] = failed + 1
            self.note("failed", process.name, **seen)
            raise ValueError("not yet")
        self.note("done", process.name, **seen)
