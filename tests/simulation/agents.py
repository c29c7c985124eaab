"""Agents: each a process with the operations as the MCP server offers them, and what was promised to it.

An agent knows what it was given, works on it, and settles it. What its process does meanwhile (renew, give
back when no call comes any more) is the engine's own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.errors import AbeRedisError
from abe_redis.operations.operations import Operations
from abe_redis.schemas import EventView
from tests.chaos.history import Record, Violation
from tests.simulation.play import Play
from tests.simulation.process import Process

QUIET_SECONDS = 3.0
"""How long an agent keeps its leases after its last call."""
_TRIES, _PAUSE_SECONDS = 20, 0.2
_RUNS = count(1_000_000)


@dataclass
class _Work:
    """An event that an agent has in hand."""

    stream: str
    group: str
    id: str
    number: str
    run: int
    deliveries: int


@dataclass
class Agent:
    """An agent, with the process that serves it."""

    play: Play
    process: Process
    operations: Operations
    held: dict[tuple[str, str, str], _Work] = field(default_factory=dict)
    last_call: float = 0.0
    has_left: bool = False
    calls: list[asyncio.Task[None]] = field(default_factory=list)
    """Those that are not answered yet."""

    @property
    def name(self) -> str:
        return self.process.name

    def note(self, what: str, work: _Work, at: float | None = None) -> None:
        """Write down what it does with an event."""
        seen = {
            "group": work.group,
            "event": work.number,
            "stream": work.stream,
            "deliveries": work.deliveries,
            "run": work.run,
        }
        if at is None:
            self.play.actors.note(what, self.name, **seen)
        else:
            self.play.history.note(Record(at, what, self.name, **seen))  # type: ignore[arg-type]


class Agents:
    """The agents of a play."""

    def __init__(self, play: Play, settings: Settings) -> None:
        self._play = play
        self._settings = settings
        self._agents: list[Agent] = []
        self._stolen: list[Violation] = []

    def start(self) -> None:
        """Start an agent."""
        name, world = f"a{len(self._agents)}", self._play.world
        self._play.history.leases |= {name: self._settings.redis_stream_lease_seconds}  # type: ignore[operator]
        self._play.history.agents.add(name)
        process = self._play.actors.add(name)
        with world.as_process(process):
            operations = Operations(RedisMessageQueueBackend(self._settings), origin="mcp")
            operations.agent_leases._quiet_seconds = QUIET_SECONDS
        self._agents.append(Agent(self._play, process, operations, last_call=world.now))
        process.spawn(_keep(operations), "keeps")

    @property
    def living(self) -> list[Agent]:
        """Those whose process lives."""
        return [one for one in self._agents if one.process.alive]

    # What an agent does -------------------------------------------------------------------------

    def lease(
        self,
        agent: Agent,
        stream: str,
        group: str,
        *,
        most: int,
        ids: Sequence[str],
        waits: float,
        blocks: float = 0,
    ) -> None:
        """Take work."""
        self._call(agent, partial(self._lease, agent, stream, group, most, ids, blocks), waits=waits)

    async def _lease(
        self, agent: Agent, stream: str, group: str, most: int, ids: Sequence[str], blocks: float
    ) -> None:
        began = self._play.world.now
        result = await agent.operations.lease(
            stream=stream, group=group, count=most, ids=ids, wait_seconds=blocks, max_chars=None
        )
        if agent.has_left:  # nobody sees the answer
            return
        if self._was_away(agent, began):  # who knows how long ago that was
            await _insist(
                lambda: agent.operations.release(stream=stream, group=group, ids=_ids(result.events))
            )
            return
        for event in result.events:
            assert event.payload is not None
            number = str(event.payload["event"]["n"])
            work = _Work(stream, group, event.id, number, next(_RUNS), event.deliveries or 0)
            if (stream, group, event.id) not in agent.held:  # else the group was set back, and it sees that
                agent.held[stream, group, event.id] = work
                agent.note("start", work)

    def settle(self, agent: Agent, how: str, *, most: int, delay: float, waits: float) -> None:
        """Finish what it has in hand, give it back, or give it up."""
        self._expire(agent)
        works = list(agent.held.values())[:most]
        by_place: dict[tuple[str, str], list[_Work]] = {}
        for work in works:
            del agent.held[work.stream, work.group, work.id]
            agent.note({"ack": "done", "release": "cancelled", "bury": "failed"}[how], work)
            by_place.setdefault((work.stream, work.group), []).append(work)
        for (stream, group), those in by_place.items():
            ids = [work.id for work in those]
            self._call(agent, partial(self._settle, agent, how, stream, group, ids, delay), waits=waits)

    async def _settle(
        self, agent: Agent, how: str, stream: str, group: str, ids: list[str], delay: float
    ) -> None:
        operations = agent.operations
        where = {"stream": stream, "group": group, "ids": ids}
        if how == "ack":
            await _insist(lambda: operations.ack(**where))  # type: ignore[arg-type]
        else:
            bury = "it is broken" if how == "bury" else None
            await _insist(lambda: operations.release(**where, delay_seconds=delay, bury=bury))  # type: ignore[arg-type]

    def cancel(self, agent: Agent) -> None:
        """Let its client cancel the calls that are not answered."""
        with self._play.world.as_process(agent.process):
            for task in agent.calls:
                task.cancel()

    def call(self, agent: Agent) -> None:
        """Make any other call, which prolongs what it holds."""
        self._expire(agent)

        async def touch() -> None:
            agent.operations.agent_leases.touch()

        self._call(agent, touch, waits=1.0)

    def steal(
        self, agent: Agent, stream: str, group: str, ids: Sequence[str], consumer: str, how: str
    ) -> None:
        """Try to settle what others hold: nothing may come of that."""
        if agent.calls or not ids:
            return

        async def settle() -> None:
            operations = agent.operations
            where = {"stream": stream, "group": group, "ids": list(ids), "consumer": consumer or None}
            if how == "ack":
                taken = (await operations.ack(**where)).acked  # type: ignore[arg-type]
            else:
                given = await operations.release(**where, bury=None if how == "release" else "stolen")  # type: ignore[arg-type]
                taken = [*given.released, *given.buried]
            if taken:
                self._stolen.append(
                    Violation("stolen", "", f"{agent.name} did {how} {taken}, which others hold")
                )

        self._call(agent, settle, waits=20.0)

    def leave(self) -> None:
        """End every session, so that everything is given back."""
        for agent in self.living:
            for work in agent.held.values():
                agent.note("cancelled", work)
            agent.held.clear()
            agent.has_left = True
            with self._play.world.as_process(agent.process):
                agent.operations.agent_leases.leave()

    def expire(self) -> None:
        """Note what was taken from those that made no call for long."""
        for agent in self.living:
            self._expire(agent)

    def _expire(self, agent: Agent) -> None:
        """An agent without a call for long has lost what it held; its work ended then."""
        over = agent.last_call + QUIET_SECONDS
        if self._play.world.now >= over:
            for work in agent.held.values():
                agent.note("cancelled", work, over)
            agent.held.clear()

    # What must be true then ---------------------------------------------------------------------

    def violations(self) -> Iterator[Violation]:
        """What agents were promised, or others of them, and was not kept."""
        yield from self._stolen

    # How ----------------------------------------------------------------------------------------

    def _was_away(self, agent: Agent, since: float) -> bool:
        return any(
            outage.process in {"", agent.name} and outage.end > since for outage in self._play.history.outages
        )

    def _call(self, agent: Agent, work: Callable[[], Awaitable[None]], *, waits: float) -> None:
        """Make a call, and wait for its answer for so long; others may act before it comes."""
        self._expire(agent)
        world = self._play.world
        agent.last_call = world.now

        async def run() -> None:
            with suppress(AbeRedisError):  # the agent is told
                await work()

        with world.as_process(agent.process):
            task = agent.process.loop.create_task(run(), name="call")
        agent.calls.append(task)
        task.add_done_callback(agent.calls.remove)
        world.run(world.now + waits, done=task.done)


async def _keep(operations: Operations) -> None:
    while True:
        await operations.agent_leases.run()


async def _insist(work: Callable[[], Awaitable[object]]) -> None:
    """Do it again while Redis does not answer, as an agent does that is told so."""
    for _ in range(_TRIES):
        try:
            await work()
        except AbeRedisError:
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return


def _ids(events: Sequence[EventView]) -> list[str]:
    return [event.id for event in events]
