"""The small scale with more hands: what others do to a queue beside its workers, and its bounds."""

from collections.abc import Iterator
from typing import Any, override

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from tests.simulation import look
from tests.simulation.schedule import STREAMS
from tests.simulation.state_machine import (
    _GROUP,
    _MOST_EVENTS,
    _STREAM,
    ALWAYS_THE_SAME,
    BOUNDS,
    OTHERS,
    SCALE,
    Queue,
)


class OtherHands(Queue):
    """The same with small bounds, many published at once, any consumer removed, and retries meddled with."""

    @initialize(**SCALE, **BOUNDS)
    @override
    def begin(self, **how: Any) -> None:
        super().begin(**how)

    @precondition(lambda self: self._published < 2 + _MOST_EVENTS)
    @rule(stream=_STREAM, count=st.integers(2, 5), fails=st.sampled_from([0, 0, 1]))
    def publish_many(self, stream: str, count: int, fails: int) -> None:
        """Somebody publishes several events by one call: enough that some are trimmed."""
        self._do("publish many", stream, events=self._new(count, 0.0, fails))

    @precondition(lambda self: any(self._postponed()))
    @rule(at=st.integers(0, 3), acks=st.booleans())
    def meddle(self, at: int, acks: bool) -> None:
        """XACK of what waits for its retry, or XGROUP DELCONSUMER of who has it: it comes all the same."""
        postponed = list(self._postponed())
        group, entry, consumer = postponed[at % len(postponed)]
        if acks:
            self._by_hand("XACK", STREAMS[0], group, entry)
        elif consumer:
            self._remove_consumer(STREAMS[0], group, consumer)

    @rule(stream=_STREAM, group=_GROUP, at=st.integers(0, 4))
    def remove_consumer(self, stream: str, group: str, at: int) -> None:
        """XGROUP DELCONSUMER of any consumer that Redis has: of the living, of the dead, of nobody."""
        group = self._existing(group)
        if names := look.consumers(self._its.world.server.db, stream, group):
            self._remove_consumer(stream, group, names[at % len(names)])

    def _remove_consumer(self, stream: str, group: str, name: str) -> None:
        """Remove a consumer, whoever it is.

        What somebody else's consumer holds, who never told how long it wants it, goes with it; and while such
        a consumer is there, so may go what another was given in the last second.
        """
        db = self._its.world.server.db
        if OTHERS in look.consumers(db, stream, group):
            self._its.history.given_up |= look.held(db, stream, group, name)
        self._by_hand("XGROUP", "DELCONSUMER", stream, group, name)
        self._its.actors.note("dropped", group=group, stream=stream)

    def _postponed(self) -> Iterator[tuple[str, str, str]]:
        """Entries that wait for their retry, each with its group and the consumer that has it."""
        if self._play is not None:
            for group in self._names:
                yield from look.postponed(self._play.world.server.db, STREAMS[0], group)


def search(machine: type[Queue], examples: int) -> None:
    """Try so many others each time, and make short what fails."""
    others = settings(ALWAYS_THE_SAME, max_examples=examples, derandomize=False, phases=list(Phase))
    run_state_machine_as_test(machine, settings=others)
