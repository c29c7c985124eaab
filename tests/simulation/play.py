"""Playing a schedule: its steps, the peace after them, and what is wrong with what happened."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from abe_redis.client import optional_commands
from abe_redis.observability.loop_watch import LoopWatch
from abe_redis.publishing.outbox_delivery import Outbox
from abe_redis.publishing.outbox_thread import FileThread
from abe_redis.runtime import arguments
from abe_redis.streams import trim
from abe_redis.streams.scripts import LUA, Script
from abe_redis.worker import event_worker, failure_log, handlers
from tests.chaos.checker import violations
from tests.chaos.history import Group, History, Outage, Violation
from tests.simulation import look
from tests.simulation.actors import Actors
from tests.simulation.process import Process
from tests.simulation.schedule import STREAMS, Schedule, Step
from tests.simulation.world import World, failures

RECONNECT_SECONDS = 0.8
"""How soon one who lost its connection has another, and what was due is done."""
OWN_SECONDS = 1.2
"""How long those who are there have, before a fresh worker joins them."""
PATIENCE_SECONDS = 40.0
"""How long everything may take to be done after the last fault."""


@dataclass
class Outcome:
    """What came of a schedule."""

    schedule: Schedule
    violations: list[Violation]
    seconds: float
    """How long it was, in its own time."""
    turns: int
    """How often a process had its turn."""
    commands: int
    history: History


@contextmanager
def small_steps() -> Iterator[None]:
    """Trim after a few entries, since a schedule has not hundreds; keep the log quiet, and threads out."""
    step, disabled = trim.STEP, logging.root.manager.disable
    watch = LoopWatch.__init__, LoopWatch.join, LoopWatch.leave
    telling: Any = failure_log
    worker: Any = event_worker
    told = telling.tell, worker.describe
    checks: tuple[Any, Any] = arguments, handlers
    signature = arguments.signature
    trim.STEP = 3
    # What the log says of a failure nobody reads, and it takes a tenth of the time.
    telling.tell = lambda *_: ""
    worker.describe = lambda error: type(error).__name__
    # Each worker looks at what a handler takes, though it is the same handler.
    checks[0].signature = checks[1].signature = lambda _: None
    logging.disable(logging.CRITICAL)
    outbox: Any = Outbox
    thread: Any = FileThread
    waits, warns = FileThread.run, Outbox._look_first
    thread.run, outbox._look_first = _at_once, _say_nothing
    watched: Any = LoopWatch
    # A thread would look at a loop whose time is not its own.
    watched.__init__ = watched.join = watched.leave = lambda *_: None
    try:
        yield
    finally:
        watched.__init__, watched.join, watched.leave = watch
        thread.run, outbox._look_first = waits, warns
        telling.tell, worker.describe = told
        checks[0].signature = checks[1].signature = signature
        trim.STEP = step
        logging.disable(disabled)


async def _at_once[*A, T](_: FileThread, call: Callable[[*A], T], *args: *A) -> T:
    """What a thread would do; others have their turn before and after it."""
    await asyncio.sleep(0.001)
    found = call(*args)
    await asyncio.sleep(0.001)
    return found


async def _say_nothing(_: Outbox) -> None:
    """The log is quiet."""


def play(schedule: Schedule) -> Outcome:
    """Play a schedule to its end."""
    with small_steps():
        return play_quietly(schedule)


def play_quietly(schedule: Schedule) -> Outcome:
    """The same for who takes `small_steps` himself, for many schedules."""
    warm_up()
    # What the engine has learned of a server would let the next schedule depend on those before it.
    optional_commands._accepts.clear()
    return Play(schedule).play()


@cache
def warm_up() -> None:
    """Let happen what happens once in a process, so that the first schedule is played as all others are."""
    steps = [Step(0, "start worker", "w0", 2.0, group="g"), Step(0, "start worker", "w1", 2.0, group="o")]
    steps.append(Step(0, "publish", "slack:a", events=(0,)))
    Play(Schedule("warm-up", tuple(steps), groups=(("g", False), ("o", True)))).play()


@cache
def _all_scripts() -> dict[bytes, bytes]:
    """Every script of the engine, by its digest."""
    found = (Script.load(path.stem).command((), (), in_full=True)[1] for path in sorted(LUA.glob("*.lua")))
    sources = [source.encode() for source in found if isinstance(source, str)]
    return {hashlib.sha1(source, usedforsecurity=False).hexdigest().encode(): source for source in sources}


class Play:
    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.world = World(schedule.seed)
        limit = schedule.max_deliveries
        self._groups = [name for name, _ in schedule.groups]
        self.history = History(
            groups={name: Group(ordered, limit, schedule.concurrency) for name, ordered in schedule.groups},
            leases=schedule.leases | {f"last-{name}": 2.0 for name in self._groups} | {"host": 1.0},
        )
        self.actors = Actors(self.world, schedule, self.history)
        self._consumers: dict[str, bytes] = {}
        """By process, the name under which it reads."""
        if schedule.scripts_known:
            self.world.server.learn(_all_scripts())

    def play(self) -> Outcome:
        world = self.world
        with world.inside():
            self.begin()
            for step in sorted(self._schedule.steps, key=lambda one: one.at):
                world.run(step.at)
                self.do(step)
            self.rest()
            found = self.violations() + self._deaf()
        return Outcome(self._schedule, found, world.now, world.turns, world.server.commands, self.history)

    def begin(self) -> None:
        """Start the process that publishes."""
        self.world.server.heard = self._heard
        self.actors.start_host()

    def violations(self) -> list[Violation]:
        """What should not have happened."""
        found = violations(self.history) + self.actors.ended_badly
        found += look.due_and_not_pending(self.world.server.db)
        found += [
            Violation("uncaught", "", repr(failure.get("exception", failure)))
            for failure in failures(self.world)
        ]
        return found

    def rest(self) -> None:
        """Heal everything, and give it time to be done."""
        world, db = self.world, self.world.server.db
        world.heal()

        def is_done() -> bool:
            return self.actors.has_finished_all and look.is_done(db, STREAMS, self._groups)

        if not is_done() and self.actors.have_somebody_in(self._groups):
            world.run(world.now + OWN_SECONDS, done=is_done)
        late = self._schedule.late
        if is_done():  # what comes late may make something unfinished again
            world.run(max(world.now, world.last_arrival) + late)
        if not is_done():
            for group in self._groups:
                self.actors.start_worker(f"last-{group}", group, 2.0)
            world.run(world.now + PATIENCE_SECONDS, done=is_done)
            world.run(max(world.now, world.last_arrival) + late)
        for group in self._groups:
            self.history.left[group] = look.left(db, STREAMS, group)

    def _deaf(self) -> list[Violation]:
        """Whether nothing was accepted, though the server was there at the end: then nothing was tested."""
        steps = self._schedule.steps
        refused = any(step.what in {"refuse writes", "freeze server"} for step in steps)
        if any(step.events for step in steps) and not refused and not self.actors.has_accepted:
            return [Violation("deaf", "", "not one event was accepted")]
        return []

    # What is done -------------------------------------------------------------------------------

    def do(self, step: Step) -> None:
        """Do one thing to the world."""
        if (process := self.actors.process_of(step.who)) is not None:
            self._do_to(step, process)
            return
        match step.what:
            case "start worker":
                self.actors.start_worker(step.who, step.group, step.value)
            case "publish":
                self.actors.publish(step.who, step.events)
            case "publish many":
                self.actors.publish_many(step.who, step.events)
            case "publish again":
                self.actors.publish_again(step.events)
            case _:
                self._do_to_server(step)

    def _do_to_server(self, step: Step) -> None:
        world = self.world
        match step.what:
            case "destroy group":
                self.as_client("XGROUP", "DESTROY", step.who, step.group)
                self.actors.note("destroyed", group=step.group, stream=step.who)
            case "restart server":
                world.restart_server(step.value)
                self._away("", step.value)
            case "step clock":
                world.step_clock(step.value)
                if step.value > 0:  # every lease is over that much earlier
                    self.history.outages.append(Outage("", world.now - 60, world.now + 1))
            case "refuse writes":
                world.refuse_writes("OOM command not allowed when used memory > 'maxmemory'.", step.value)
                self._away("", step.value)
            case "freeze server":
                world.freeze_server(step.value)
                self._away("", step.value)
            case "forget scripts":
                self.as_client("SCRIPT", "FLUSH")

    def _do_to(self, step: Step, process: Process) -> None:
        world, link = self.world, process.link
        until_us = world.now_us + round(step.value * 1_000_000)
        match step.what:
            case "kill":
                self.actors.kill(process)
            case "stop":
                self.actors.stop(process)
            case "delete consumer" if process.name in self._consumers:
                for stream in STREAMS:
                    name = self._consumers[process.name]
                    self.as_client("XGROUP", "DELCONSUMER", stream, step.group, name)
                self.actors.note("dropped", group=step.group)
            case "pause" | "suspend" | "stop machine":
                process.pause(step.value, step.what)
                stops = Outage(process.name, world.now, world.now + step.value, step.what == "stop machine")
                self.history.outages.append(stops)
            case "cut":
                for connection in process.in_order():
                    connection.cut(late_us=round(step.value * 1_000_000))
                self._away(process.name, 0)
            case "lose answers":
                link.lose_answers(round(step.value))
                self._away(process.name, step.value)
            case "hold commands":
                link.up_blocked_until_us = max(link.up_blocked_until_us, until_us)
                self._away(process.name, step.value)
            case "hold answers":
                link.down_blocked_until_us = max(link.down_blocked_until_us, until_us)
                self._away(process.name, step.value)

    def _away(self, process: str, seconds: float) -> None:
        now = self.world.now
        self.history.outages.append(Outage(process, now, now + seconds + RECONNECT_SECONDS))

    def as_client(self, *words: str | bytes) -> None:
        """Send a command by hand."""
        command = [word if isinstance(word, bytes) else word.encode() for word in words]
        self.world.server.call(command, lambda _: None)

    # What is seen -------------------------------------------------------------------------------

    def _heard(self, words: list[bytes]) -> None:
        if words[0] == b"XREADGROUP" and self.world.connected is not None:
            self._consumers.setdefault(self.world.connected, words[3])
        if words[0] == b"XGROUP" and words[1] == b"CREATE":
            self.actors.note("joined", group=words[3].decode(), stream=words[2].decode())
        if words[0] == b"XADD" and words[1].startswith(b"dead:"):
            fields = dict(zip(words[3::2], words[4::2], strict=True))
            by_agent = self.world.connected in self.history.agents  # which says why
            self.actors.note(
                "buried",
                group=fields[b"abe:group"].decode(),
                event=look.number_in(fields[b"data"]),
                deliveries=0 if by_agent else int(fields[b"abe:deliveries"]),
            )
