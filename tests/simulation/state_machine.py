"""The small scale: Hypothesis chooses what happens next, and makes what fails short.

What can happen are the doors of the engine (publish, work, stop, the operations on dead letters and
groups), the hands of others (XDEL, XACK, XCLAIM, DELCONSUMER, DESTROY, FLUSHALL) and what fails. The model
knows the promise of docs/delivery.md: `tests.chaos.checker` for events, `Operator` for the operations.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypedDict, override

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)
from hypothesis.strategies import SearchStrategy

from abe_redis.client import optional_commands
from tests.chaos.history import Outage, Violation
from tests.simulation import look
from tests.simulation.actors import settings_for
from tests.simulation.operator import Operator
from tests.simulation.play import Play, small_steps, warm_up
from tests.simulation.schedule import STREAMS, Schedule, Step
from tests.simulation.server.streams import shown

ALWAYS_THE_SAME = settings(
    max_examples=40,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
LEASE = 1.0
OTHERS = "nobody"
"""A consumer of another program, which does not do anything."""
GROUPS = ("g", "o")


class Scale(TypedDict):
    """What a queue begins with."""

    seed: SearchStrategy[int]
    limit: SearchStrategy[int]
    concurrency: SearchStrategy[int]
    both: SearchStrategy[bool]


class Bounds(TypedDict):
    """What the larger machines vary beside it."""

    maxlen: SearchStrategy[int]
    delay: SearchStrategy[float]


SCALE: Scale = {
    "seed": st.integers(0, 7),
    "limit": st.integers(1, 3),
    "concurrency": st.integers(1, 2),
    "both": st.booleans(),
}
BOUNDS: Bounds = {"maxlen": st.sampled_from([10_000, 2]), "delay": st.sampled_from([0.3, 1.5])}
_STREAM, _GROUP = st.sampled_from(STREAMS[:1]), st.sampled_from(GROUPS)
_MOST_EVENTS = 7
_TO_COME = "9999999999999-0"
_RECORDED_MS = 1500
_PAUSES = st.sampled_from([0.01, 0.03, 0.1, 0.4, 1.2, 2.6])


class Queue(RuleBasedStateMachine):
    """A queue with two groups, of which one is ordered."""

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self._published = self._started = 0
        self._flushed_at = -2 * LEASE
        self._play: Play | None = None

    @initialize(**SCALE)
    def begin(
        self,
        seed: int,
        limit: int,
        concurrency: int,
        both: bool,
        maxlen: int = 10_000,
        delay: float = 0.3,
    ) -> None:
        """A server that knows the scripts, an event, and a worker in each group."""
        self._open.enter_context(small_steps())
        warm_up()
        optional_commands._accepts.clear()
        names = GROUPS if both else GROUPS[:1]
        self._play = play = Play(
            Schedule(
                f"small {seed}",
                (),
                groups=tuple((name, name == "o") for name in names),
                max_deliveries=limit,
                maxlen=maxlen,
                concurrency=concurrency,
                delay=delay,
                outbox=self._outbox,
                scripts_known=True,
            )
        )
        self._open.callback(play.actors.close)
        self._names = names
        with play.world.visited():
            play.begin()
            self._operator = Operator(play, settings_for(LEASE, limit, maxlen))
        self.publish(STREAMS[0], 1, 0.3, 0)
        for name in names:
            self.start_worker(name)

    # The engine's doors -------------------------------------------------------------------------

    @precondition(lambda self: self._published < _MOST_EVENTS)
    @rule(
        stream=_STREAM,
        count=st.integers(1, 2),
        seconds=st.sampled_from([0.0, 0.3, 1.2]),
        fails=st.sampled_from([0, 0, 1, 9]),
    )
    def publish(self, stream: str, count: int, seconds: float, fails: int) -> None:
        """Somebody publishes, and the handlers of these events work for so long and fail so often."""
        self._do("publish", stream, events=self._new(count, seconds, fails))

    @precondition(lambda self: self._published)
    @rule(at=st.integers(0, 9))
    def publish_again(self, at: int) -> None:
        """Slack sends an event again, but not while somebody may have in hand what is gone from Redis."""
        if self._its.world.now < self._flushed_at + 2 * LEASE:
            return
        self._do("publish again", events=(at % self._published,))

    @precondition(lambda self: self._started < 5)
    @rule(group=_GROUP, lease=st.sampled_from([LEASE, LEASE, 8 * LEASE]))
    def start_worker(self, group: str, lease: float = LEASE) -> None:
        """A worker starts."""
        name, self._started = f"w{self._started}", self._started + 1
        self._its.history.leases |= {name: lease}  # type: ignore[operator]
        self._do("start worker", name, lease, group=self._existing(group))

    @rule(seconds=_PAUSES)
    def wait(self, seconds: float) -> None:
        """Time passes."""
        with self._its.world.visited():
            self._its.world.run(self._its.world.now + seconds)

    @rule(stream=_STREAM, group=_GROUP, twice=st.booleans())
    def redrive(self, stream: str, group: str, twice: bool) -> None:
        """Somebody redrives the dead letters of a group, or two do at once."""
        with self._its.world.visited():
            self._operator.redrive(stream, self._existing(group), twice=twice)

    @rule(
        what=st.sampled_from(["reset", "remove", "replay", "pause", "resume", "purge"]),
        stream=_STREAM,
        group=_GROUP,
    )
    def operate(self, what: str, stream: str, group: str) -> None:
        """Somebody uses another of the engine's operations."""
        with self._its.world.visited():
            getattr(self._operator, what)(stream, self._existing(group))

    # What fails ---------------------------------------------------------------------------------

    @precondition(lambda self: self._started)
    @rule(
        what=st.sampled_from(
            ["kill", "stop", "pause", "cut", "lose answers", "hold commands", "delete consumer"]
        ),
        who=st.integers(0, 4),
        value=st.sampled_from([0.0, 0.05, 1.4]),
    )
    def fail(self, what: str, who: int, value: float) -> None:
        """A worker or its connection fails, or somebody removes its consumer."""
        name = f"w{who % self._started}"
        group = next((group for one, group in self._its.actors.group_of.items() if one == name), "")
        if group:
            self._do(what, name, 1 if what == "lose answers" else value, group=group)

    @rule(seconds=st.sampled_from([-2.0, 0.3]))
    def step_clock(self, seconds: float) -> None:
        """The server's clock is set."""
        self._do("step clock", value=seconds)

    @rule()
    def restart(self) -> None:
        """The server restarts, with all that it has."""
        self._do("restart server", value=0.1)

    # Other hands --------------------------------------------------------------------------------

    @rule(stream=_STREAM, group=_GROUP)
    def destroy_group(self, stream: str, group: str) -> None:
        """XGROUP DESTROY."""
        self._do("destroy group", stream, group=self._existing(group))

    @rule(stream=_STREAM, group=_GROUP, how=st.sampled_from(["SETID", "CREATE", "CREATE where it stood"]))
    def set_by_hand(self, stream: str, group: str, how: str) -> None:
        """XGROUP SETID, or DESTROY and CREATE, to an id that is still to come, or to where the group stood.

        It gets all the same what it had not finished and was not given. What is not recorded as given comes
        again, as to a group that was destroyed.
        """
        existing = self._existing(group)
        if stood := look.position(self._its.world.server.db, stream, existing):
            self._its.actors.note("destroyed", group=existing, stream=stream)
            command, _, where = how.partition(" ")
            if command == "CREATE":
                self._by_hand("XGROUP", "DESTROY", stream, existing)
            self._by_hand("XGROUP", command, stream, existing, stood if where else _TO_COME)

    @rule(stream=_STREAM, at=st.integers(0, 3))
    def delete_entry(self, stream: str, at: int) -> None:
        """XDEL: what is unfinished then is lost, and counts as that if workers had a second to record it.

        What no group has had yet counts for none.
        """
        if (entry := self._entry(stream, at)) is not None:
            ms = int(entry[0].partition("-")[0])
            db = self._its.world.server.db
            had = all(look.has_group(db, stream, group) for group in self._names)
            if self._is_disturbed or not had or db.now_ms() - ms < _RECORDED_MS:
                self._its.history.given_up.add(entry[1])
            self._its.actors.note("removed", event=entry[1], stream=stream)
            self._by_hand("XDEL", stream, entry[0])

    @rule(stream=_STREAM, group=_GROUP, at=st.integers(0, 3))
    def ack(self, stream: str, group: str, at: int) -> None:
        """XACK by hand: nobody has to do what somebody says is done."""
        if (entry := self._entry(stream, at)) is not None:
            self._its.history.given_up.add(entry[1])
            self._by_hand("XACK", stream, self._existing(group), entry[0])

    @rule(stream=_STREAM, group=_GROUP, at=st.integers(0, 3))
    def claim(self, stream: str, group: str, at: int) -> None:
        """XCLAIM by somebody who then does nothing."""
        if (entry := self._entry(stream, at)) is not None:
            now = self._its.world.now
            self._its.history.outages.append(Outage("", now, now + LEASE))
            self._by_hand("XCLAIM", stream, self._existing(group), OTHERS, "0", entry[0], "JUSTID")

    @rule()
    def flush(self) -> None:
        """FLUSHALL: all is gone, and everybody goes on with what comes then."""
        if self._its.actors.unpublished:  # it would come twice, as two entries of which nobody knows
            return
        self._flushed_at = self._its.world.now
        for number in range(self._published):
            self._its.history.given_up.add(str(number))
        for group in self._names:
            self._its.actors.note("destroyed", group=group)
        # Which groups there were, nobody knows any more: what comes then, one may finish before others join.
        records = self._its.history.records
        records[:] = [record for record in records if record.what != "joined"]
        self._operator.end_pauses()
        self._by_hand("FLUSHALL")

    # The end ------------------------------------------------------------------------------------

    @override
    def teardown(self) -> None:
        """Everything must be done when nothing fails any more, and nothing may have broken a promise."""
        with self._open:
            if self._play is None:
                return
            with self._its.world.inside():
                self._rest()
                found = [*self._its.violations(), *self._violations()]
            assert not found, "\n".join(f"[{one.rule}] {one.sentence}" for one in found)

    def _rest(self) -> None:
        self._its.world.heal()  # or who resumes may find no server
        self._operator.resume_all()
        self._its.rest()

    def _violations(self) -> Iterator[Violation]:
        yield from self._operator.violations()

    # How ----------------------------------------------------------------------------------------

    _outbox: Path | None = None
    """The file of who publishes."""

    @property
    def _its(self) -> Play:
        assert self._play is not None
        return self._play

    def _existing(self, group: str) -> str:
        return group if group in self._names else self._names[0]

    def _new(self, count: int, seconds: float, fails: int) -> tuple[int, ...]:
        """Events that nobody has published, and what their handlers will do."""
        events = tuple(range(self._published, self._published + count))
        self._published += count
        for event in events:
            self._its.actors.decide(event, seconds, fails)
        return events

    def _do(self, what: str, who: str = "", value: float = 0, **more: Any) -> None:
        with self._its.world.visited():
            self._its.do(Step(self._its.world.now, what, who, value, **more))

    @property
    def _is_disturbed(self) -> bool:
        """Whether anything was done to a group after which some losses cannot be counted."""
        return any(record.what in {"destroyed", "dropped"} for record in self._its.history.records)

    def _by_hand(self, *words: str) -> None:
        with self._its.world.visited():
            self._its.as_client(*words)

    def _entry(self, stream: str, at: int) -> tuple[str, str] | None:
        """An entry of a stream, with the number of its event."""
        of = look.stream_of(self._its.world.server.db, stream)
        if of is None or not of.entries:
            return None
        entry, fields = list(of.entries.items())[at % len(of.entries)]
        words = dict(zip(fields[::2], fields[1::2], strict=True))
        return shown(entry).decode(), look.number_in(words[b"data"])
