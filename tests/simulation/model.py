"""`python -m tests.simulation.model`: every way in which two members of a group can go, up to some faults.

The protocol of an unordered group, member by member and script by script, over the real Lua: breadth first
through all states, each seen once. What a member does is small and written down here; what a script does is
the engine's own. A command may be lost, or its answer; or it may be executed long after its sender gave it
up. A member may be killed, time may pass, and somebody may remove the group or a consumer.

In every state: an event is done, pending or unread; its count is at least the number of starts that Redis
was told of; at most one handler has it whose lease is not over; what is due is pending. And from every state,
when the faults end, everything is done soon.
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from abe_redis.streams import groups
from tests.simulation import look
from tests.simulation import member as does
from tests.simulation.direct import Direct, Fate, finish
from tests.simulation.member import GROUP, LEASE_MS, MEMBERS, STREAM, TICK_MS, Act, Budget, Member, State
from tests.simulation.server.keyspace import SortedSet
from tests.simulation.server.server import Server
from tests.simulation.server.streams import Stream, shown

type Step = tuple[str, State]


class Explorer:
    """Goes through all states."""

    def __init__(self, *, budget: Budget, events: int, deadline: float) -> None:
        self._deadline = deadline
        self.states = self.transitions = 0
        self.is_complete = False
        first = State(
            Server(lambda: 0), 10_000_000, tuple(Member(name) for name in MEMBERS), (), budget=budget
        )
        first.server = Server(lambda: first.now * 1000)
        for number in range(1, events + 1):
            first.server.execute([b"XADD", STREAM.encode(), b"%d-0" % number, b"data", b'{"n":%d}' % number])
        finish(groups.ensure_group(Direct(first.server), [STREAM], GROUP))
        self._events = frozenset(f"{number}-0" for number in range(1, events + 1))
        self.first = first
        """The state in which everything begins."""
        self._goes_on = set[Any]()
        """What was found not to be stuck."""

    def explore(self) -> list[str] | None:
        """Go through all states.

        Returns:
            The way to the first that should not be; None if there is none.
        """
        ways: dict[tuple[Any, ...], tuple[tuple[Any, ...], str] | None] = {self.first.key(): None}
        queue = deque([self.first])
        while queue and time.monotonic() < self._deadline:
            state = queue.popleft()
            self.states += 1
            wrong = self.wrong(state) or self._stuck(state)
            if wrong:
                return [*_way(ways, state.key()), wrong]
            for what, then in self._steps(state):
                self.transitions += 1
                if (key := then.key()) not in ways:
                    ways[key] = state.key(), what
                    queue.append(then)
        self.is_complete = not queue
        return None

    # What can happen ----------------------------------------------------------------------------

    def _steps(self, state: State) -> Iterator[Step]:
        budget = state.budget
        for number in range(len(state.members)):
            for name, act in self._acts(state, number):
                yield from self._fates(state, number, name, act)
            if budget.faults:
                then = state.copy()
                then.budget = replace(budget, faults=budget.faults - 1)
                dead = then.members[number]
                then.members = (*then.members[:number], Member(f"{dead.name}'"), *then.members[number + 1 :])
                yield f"{dead.name} is killed", then
        for at, words in enumerate(state.late):
            then = state.copy()
            then.late = (*state.late[:at], *state.late[at + 1 :])
            then.server.call(list(words), lambda _: None)
            yield "a late command is executed", then
        if budget.ticks:
            then = state.copy()
            then.now += TICK_MS
            then.budget = replace(budget, ticks=budget.ticks - 1)
            yield "time passes", then
        if budget.faults:
            yield from self._removals(state)

    def _removals(self, state: State) -> Iterator[Step]:
        commands = [("the group is destroyed", [b"XGROUP", b"DESTROY", STREAM.encode(), GROUP.encode()])]
        commands += [
            (f"consumer {one.name} is deleted", [b"XGROUP", b"DELCONSUMER", b"s", b"g", one.name.encode()])
            for one in state.members
        ]
        for what, words in commands:
            then = state.copy()
            then.server.call(words, lambda _: None)
            then.budget = replace(state.budget, faults=state.budget.faults - 1)
            then.told.clear()
            then.disturbed = True
            yield what, then

    def _fates(self, state: State, number: int, name: str, act: Act) -> Iterator[Step]:
        """Each way in which an act can end."""
        fates: tuple[Fate, ...] = ("answered", "answer lost", "command lost", "late")
        for fate in fates[: None if state.budget.faults else 1]:
            then = state.copy()
            if fate != "answered":
                then.budget = replace(then.budget, faults=then.budget.faults - 1)
            redis = Direct(then.server, fate)
            member = act(then, redis, then.members[number])
            then.members = (*then.members[:number], member, *then.members[number + 1 :])
            then.late = (*then.late, *redis.late)
            yield f"{state.members[number].name} {name}: {fate}", then

    def _acts(self, state: State, number: int) -> Iterator[tuple[str, Act]]:
        member = state.members[number]
        if member.in_doubt:
            yield "gives back what it has not seen", does.give_back_unseen
            return
        if not any(held.state == "waits" for held in member.held) and state.budget.reads:
            yield "makes sure of the group and reads", does.read
            yield "takes what was abandoned", does.reclaim
        if member.held:
            yield "renews", does.renew
        for held in member.held:
            if held.state == "waits":
                yield f"starts {held.id}", does.act_on(does.start, held)
            elif held.state == "at work":
                yield f"ends {held.id}", does.act_on(does.end, held)
                if state.budget.fails:
                    yield f"fails {held.id}", does.act_on(does.fail, held)
                if not held.told:
                    yield f"counts {held.id}", does.act_on(does.count, held)
            elif held.state == "finished":
                yield f"acks {held.id}", does.act_on(does.ack, held)
            else:
                yield f"postpones {held.id}", does.act_on(does.postpone, held)

    # What should not be -------------------------------------------------------------------------

    def wrong(self, state: State) -> str | None:
        """What is wrong with a state."""
        stream = state.server.db.values[STREAM.encode()]
        assert isinstance(stream, Stream)
        of = stream.groups.get(GROUP.encode())
        pending = {shown(entry).decode(): row for entry, row in of.pending.items()} if of else {}
        unread = {shown(entry).decode() for entry in stream.entries if of is None or entry > of.last}
        known = {held.id for member in state.members for held in member.held}
        # What a member has it puts back, and what is due is put back.
        due: SortedSet = state.server.db.get(b"abe:due:{s}:g", SortedSet) or SortedSet()
        mended = known | {entry.decode() for entry in due} if state.disturbed else set()
        if missing := self._events - state.done - pending.keys() - unread - mended:
            return f"{sorted(missing)} are neither done, pending nor unread"
        for entry, row in pending.items():
            if row.count < state.told.get(entry, 0):
                return f"{entry} counts {row.count} deliveries, and Redis was told of {state.told[entry]}"
        workers = [
            (held.id, member.name)
            for member in state.members
            for held in member.held
            if held.state == "at work" and state.now - held.since < LEASE_MS
        ]
        if not state.disturbed and len({entry for entry, _ in workers}) < len(workers):
            return f"handlers with a good lease have the same event: {workers}"
        if len(workers) > len(set(workers)):
            return f"a member has an event twice: {workers}"
        if not state.disturbed and (stray := list(look.due_and_not_pending(state.server.db))):
            return stray[0].sentence
        return None

    def _stuck(self, state: State) -> str | None:
        """Whether the others cannot finish what these leave behind, when nothing goes wrong any more."""
        key = state.stored(), state.done, state.disturbed and state.members
        if key in self._goes_on:
            return None
        self._goes_on.add(key)
        then = state.copy()
        then.members = (Member("last"),)
        then.late = ()
        then.budget = Budget(0, 0, 0, 99)
        for _ in range(12):
            then.now += TICK_MS
            redis = Direct(then.server)
            member = then.members[0]
            for act in (does.read, does.reclaim):
                member = act(then, redis, member)
                for held in member.held:
                    member = does.act_on(does.start, held)(then, redis, member)
                for held in member.held:
                    member = does.act_on(does.end, held)(then, redis, member)
                for held in member.held:
                    member = does.act_on(does.ack, held)(then, redis, member)
            then.members = (member,)
            if then.done >= self._events:
                return None
        held_by_others = {held.id for member in state.members for held in member.held}
        left = self._events - then.done - (held_by_others if state.disturbed else set())
        return f"{sorted(left)} are never done, though nothing goes wrong any more" if left else None


def _way(ways: dict[tuple[Any, ...], tuple[tuple[Any, ...], str] | None], key: tuple[Any, ...]) -> list[str]:
    steps: list[str] = []
    while (before := ways[key]) is not None:
        key, what = before
        steps.append(what)
    return steps[::-1]


def main() -> int:
    """Explore; 1 if something should not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.model")
    parser.add_argument("--seconds", type=float, default=300, help="for how long at most")
    parser.add_argument("--events", type=int, default=2)
    parser.add_argument("--faults", type=int, default=1)
    parser.add_argument("--ticks", type=int, default=4)
    options = parser.parse_args()
    began = time.monotonic()
    budget = Budget(ticks=options.ticks, faults=options.faults)
    explorer = Explorer(budget=budget, events=options.events, deadline=began + options.seconds)
    way = explorer.explore()
    sys.stdout.write(
        f"{explorer.states:,} states, {explorer.transitions:,} transitions, "
        f"{time.monotonic() - began:.0f} s, "
        f"{'all there are' if explorer.is_complete else 'not all'}: {options.events} events, "
        f"{options.faults} faults, {options.ticks} ticks\n"
    )
    if way:
        sys.stdout.write("\n".join(way) + "\n")
    return int(way is not None)


if __name__ == "__main__":
    raise SystemExit(main())
