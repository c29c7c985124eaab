"""The small scale with every door: agents beside the workers, and publishers with an outbox.

Agents take work from the unordered group, and settle it or leave it; they are killed, cut off, and silent,
and they try what they may not. Publishers have an outbox, which they fill while the server is away or
refuses; they are killed, and others take over what they left.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, override

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.chaos.history import Violation
from tests.simulation import look
from tests.simulation.actors import settings_for
from tests.simulation.agents import QUIET_SECONDS, Agent, Agents
from tests.simulation.other_hands import OtherHands
from tests.simulation.schedule import STREAMS
from tests.simulation.state_machine import BOUNDS, GROUPS, LEASE, SCALE

_WAITS = st.sampled_from([0.0, 0.002, 0.004, 0.01, 5.0, 5.0])
"""How long somebody waits for an answer before something else happens."""
_AT = st.integers(0, 3)


class AllDoors(OtherHands):
    """The same with agents and an outbox."""

    @initialize(**SCALE, **BOUNDS, works=st.booleans())
    @override
    def begin(self, *, limit: int, maxlen: int, works: bool = True, **how: Any) -> None:
        self._outbox = Path(self._open.enter_context(tempfile.TemporaryDirectory())) / "outbox"
        super().begin(limit=limit, maxlen=maxlen, **how)
        # Nobody waits for what another process keeps, so that what they publish has no common order.
        self._its.history.in_order = False
        with self._its.world.visited():
            self._agents = Agents(self._its, settings_for(LEASE, limit, maxlen))
            self._agents.start()
        self.wait(seconds=1.2)  # until the workers have made their groups
        if not works:  # or they would take everything
            for who in range(self._started):
                self.fail(what="kill", who=who, value=0.0)

    # Agents -------------------------------------------------------------------------------------

    @precondition(lambda self: len(self._agents.living) < 2)
    @rule()
    def start_agent(self) -> None:
        """An agent's server starts."""
        with self._its.world.visited():
            self._agents.start()

    @precondition(lambda self: self._agents.living)
    @rule(
        at=_AT,
        most=st.integers(1, 3),
        waits=_WAITS,
        chosen=st.booleans(),
        blocks=st.sampled_from([0.0, 0.0, 0.5, 2.5]),
    )
    def lease(self, at: int, most: int, waits: float, chosen: bool, blocks: float) -> None:
        """An agent takes the oldest events, or one that it names, or waits for one."""
        entry = self._entry(STREAMS[0], at) if chosen else None
        with self._its.world.visited():
            self._agents.lease(
                self._agent(at),
                STREAMS[0],
                GROUPS[0],
                most=most,
                ids=(entry[0],) if entry else (),
                waits=waits,
                blocks=0 if entry else blocks,
            )

    @precondition(lambda self: any(agent.calls for agent in self._agents.living))
    @rule(at=_AT)
    def cancel(self, at: int) -> None:
        """An agent's client cancels its calls."""
        with self._its.world.visited():
            self._agents.cancel(self._agent(at))

    @precondition(lambda self: self._agents.living)
    @rule(
        at=_AT,
        how=st.sampled_from(["ack", "ack", "release", "bury"]),
        most=st.integers(1, 3),
        delay=st.sampled_from([0.0, 0.4, 1.5]),
        waits=_WAITS,
    )
    def settle(self, at: int, how: str, most: int, delay: float, waits: float) -> None:
        """An agent settles what it has in hand."""
        with self._its.world.visited():
            self._agents.settle(
                self._agent(at), how, most=most, delay=delay if how == "release" else 0, waits=waits
            )

    @precondition(lambda self: self._agents.living)
    @rule(at=_AT, seconds=st.sampled_from([0.4, 1.2, 2.6, QUIET_SECONDS + 0.5]), calls=st.booleans())
    def agent_waits(self, at: int, seconds: float, calls: bool) -> None:
        """An agent works on, with a call first or without one."""
        with self._its.world.visited():
            if calls:
                self._agents.call(self._agent(at))
            self._its.world.run(self._its.world.now + seconds)
            self._agents.expire()

    @precondition(lambda self: self._agents.living)
    @rule(at=_AT, who=_AT, how=st.sampled_from(["ack", "release", "bury"]), under_its_name=st.booleans())
    def steal(self, at: int, who: int, how: str, under_its_name: bool) -> None:
        """An agent tries to settle what somebody else holds."""
        agent = self._agent(at)
        rows = [
            (entry, consumer)
            for entry, consumer in look.pending(self._its.world.server.db, STREAMS[0], GROUPS[0])
            if consumer != agent.operations.consumer
        ]
        if rows:
            entry, consumer = rows[who % len(rows)]
            with self._its.world.visited():
                name = consumer if under_its_name and not consumer.startswith("abe:") else ""
                self._agents.steal(agent, STREAMS[0], GROUPS[0], [entry], name, how)

    @precondition(lambda self: self._agents.living)
    @rule(
        at=_AT,
        what=st.sampled_from(["kill", "pause", "cut", "lose answers", "hold commands", "hold answers"]),
        value=st.sampled_from([0.05, 1.4]),
    )
    def fail_agent(self, at: int, what: str, value: float) -> None:
        """An agent's process or its connection fails."""
        self._do(what, self._agent(at).name, 1 if what == "lose answers" else value)

    def _agent(self, at: int) -> Agent:
        living = self._agents.living
        return living[at % len(living)]

    # The outbox ---------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 3.0]), refuses=st.booleans())
    def be_away(self, seconds: float, refuses: bool) -> None:
        """The server takes nothing for some time: it is away, or has no memory."""
        self._do("refuse writes" if refuses else "restart server", value=seconds)

    @rule()
    def kill_host(self) -> None:
        """Who publishes is killed, and another one comes in its place."""
        with self._its.world.visited():
            self._its.actors.kill_host()
            self._its.actors.start_host()

    @precondition(lambda self: self._its.actors.host == "host")
    @rule()
    def start_host(self) -> None:
        """Somebody else publishes from now on, beside the one before."""
        with self._its.world.visited():
            self._its.actors.start_host()

    @rule(
        what=st.sampled_from(["cut", "lose answers", "hold commands", "hold answers", "pause"]),
        value=st.sampled_from([0.05, 1.4, 2.6]),
    )
    def fail_host(self, what: str, value: float) -> None:
        """Who publishes has no connection for a while, or loses an answer."""
        self._do(what, self._its.actors.host, 1 if what == "lose answers" else value)

    # The end ------------------------------------------------------------------------------------

    @override
    def _rest(self) -> None:
        self._agents.leave()
        super()._rest()

    @override
    def _violations(self) -> Iterator[Violation]:
        yield from super()._violations()
        yield from self._agents.violations()
