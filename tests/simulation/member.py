"""A member of a group, small: what it has, what it does, and the state of everything around it.

Which commands it sends, and what it makes of their answers, is what `consuming` does, told in few lines; the
commands are the engine's own.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from redis.exceptions import ConnectionError as Lost
from redis.exceptions import ResponseError

from abe_redis.streams import acks, groups, lease, release, renewal
from abe_redis.streams import reclaim as reclaiming
from tests.simulation.direct import Direct, finish
from tests.simulation.server.keyspace import SortedSet
from tests.simulation.server.server import Server
from tests.simulation.server.streams import Stream

STREAM, GROUP = "s", "g"
LEASE_MS = 2000
TICK_MS = 1000
MEMBERS = ("a", "b")


class Held(NamedTuple):
    """An event that a member has."""

    id: str
    state: str
    """`waits`, `at work`, `finished` or `failed`."""
    begun: int
    """How many of its deliveries handlers began, as far as the member knows."""
    again: bool
    """Whether its start has to be counted before it begins."""
    told: bool
    """Whether Redis knows of the last start."""
    since: int
    """When its lease was asked for."""


class Member(NamedTuple):
    """A member of the group."""

    name: str
    held: tuple[Held, ...] = ()
    in_doubt: bool = False
    """Whether a read failed that may have leased it something."""


@dataclass(frozen=True)
class Budget:
    """How much may still happen."""

    ticks: int = 4
    faults: int = 1
    fails: int = 1
    reads: int = 5


@dataclass
class State:
    """Where everything stands."""

    server: Server
    now: int
    members: tuple[Member, ...]
    late: tuple[tuple[bytes, ...], ...]
    """Commands that nobody waits for any more, and that may still be executed."""
    told: dict[str, int] = field(default_factory=dict)
    """How many starts Redis was told of, since it last forgot."""
    done: frozenset[str] = frozenset()
    budget: Budget = Budget()
    disturbed: bool = False
    """Whether somebody removed the group or a consumer."""

    def copy(self) -> "State":
        """The same once more."""
        other = replace(self, told=dict(self.told))
        other.server = self.server.copy(lambda: other.now * 1000)
        return other

    def stored(self) -> tuple[Any, ...]:
        """What the server has."""
        values = self.server.db.values
        stream = values[STREAM.encode()]
        assert isinstance(stream, Stream)
        of = stream.groups.get(GROUP.encode())
        rows = of and (
            of.last,
            tuple((entry, row.consumer, self.now - row.delivered, row.count) for entry, row in of.rows()),
        )
        others = sorted(
            (key, tuple(sorted(_relative(value, self.now).items())))
            for key, value in values.items()
            if isinstance(value, dict)
        )
        return rows, tuple(map(repr, others))

    def key(self) -> tuple[Any, ...]:
        """What makes it the same state as another."""
        members = tuple(
            (one.name, one.in_doubt, tuple(held._replace(since=self.now - held.since) for held in one.held))
            for one in self.members
        )
        told = tuple(sorted(self.told.items()))
        return self.stored(), members, self.late, told, self.done, self.budget


def _relative(value: dict[bytes, Any], now: int) -> dict[bytes, Any]:
    if isinstance(value, SortedSet):
        return {member: round(score - now) for member, score in value.items()}
    return {name: None if name.startswith(b"used ") else what for name, what in value.items()}


# What a member does ---------------------------------------------------------------------------------

type Act = Callable[[State, Direct, Member], Member]
type ActOn = Callable[[State, Direct, Member, Held], Member]


def act_on(act: ActOn, held: Held) -> Act:
    return lambda state, redis, member: act(state, redis, member, held)


def _with(member: Member, held: Held, changed: Held | None) -> Member:
    return member._replace(
        held=tuple(one for one in (changed if other == held else other for other in member.held) if one)
    )


def _answered[T](work: Coroutine[Any, Any, T]) -> T | None:
    """What a command answers; None when its answer did not come, or there is no group."""
    try:
        return finish(work)
    except (Lost, ResponseError):
        return None


def _taken(state: State, member: Member, leased: list[lease.Leased]) -> Member:
    news = [
        Held(one.id, "waits", one.deliveries - 1, one.again, told=True, since=state.now)
        for one in leased
        if all(one.id != held.id for held in member.held)
    ]
    return member._replace(held=(*member.held, *news))


def read(state: State, redis: Direct, member: Member) -> Member:
    state.budget = replace(state.budget, reads=state.budget.reads - 1)
    finish(groups.ensure_group(Direct(state.server), [STREAM], GROUP))
    portions = [lease.Portion(STREAM, 1, "")]
    taken = _answered(lease.take_more(redis, GROUP, member.name, portions, most=1))
    return member._replace(in_doubt=True) if taken is None else _taken(state, member, taken.leased)


def reclaim(state: State, redis: Direct, member: Member) -> Member:
    state.budget = replace(state.budget, reads=state.budget.reads - 1)
    taken = _answered(
        reclaiming.reclaim(
            *(redis, GROUP, member.name, [STREAM]), lease_seconds=LEASE_MS / 1000, count=1, begun=False
        )
    )
    return member._replace(in_doubt=True) if taken is None else _taken(state, member, taken[0])


def give_back_unseen(state: State, redis: Direct, member: Member) -> Member:
    known = {(STREAM, held.id): release.KEEP for held in member.held}
    given = _answered(
        release.release(redis, GROUP, member.name, [STREAM], known, everything=True, counted=False)
    )
    return member._replace(in_doubt=given is None)


def _claim(state: State, held: Held) -> renewal.Claim:
    return renewal.Claim(STREAM, held.id, held.begun, sure=lambda: state.now - held.since < LEASE_MS)


def _held_on(
    state: State, redis: Direct, member: Member, held: tuple[Held, ...], *, begins: bool
) -> list[str] | None:
    claims = [_claim(state, one) for one in held]
    return _answered(renewal.hold(redis, GROUP, member.name, claims, begins=begins))


def _tell(state: State, held: Held) -> None:
    state.told[held.id] = max(state.told.get(held.id, 0), held.begun)


def renew(state: State, redis: Direct, member: Member) -> Member:
    outcomes = _held_on(state, redis, member, member.held, begins=False)
    if outcomes is None:
        return member
    kept: list[Held] = []
    for held, outcome in zip(member.held, outcomes, strict=True):
        if outcome in {"done", "dropped"}:
            _tell(state, held)
            kept.append(held._replace(since=state.now, told=True))
        elif outcome == "no_group":
            kept.append(held)
    return member._replace(held=tuple(kept))


def start(state: State, redis: Direct, member: Member, held: Held) -> Member:
    begun = held._replace(state="at work", begun=held.begun + 1, told=False)
    if not held.again and state.now - held.since < LEASE_MS / 2:
        return _with(member, held, begun)
    outcomes = _held_on(state, redis, member, (begun,), begins=True)
    if outcomes is None or outcomes[0] not in {"done", "dropped"}:
        return _with(member, held, None)
    _tell(state, begun)
    return _with(member, held, begun._replace(told=True, since=state.now))


def count(state: State, redis: Direct, member: Member, held: Held) -> Member:
    outcomes = _held_on(state, redis, member, (held,), begins=True)
    if outcomes is None or outcomes[0] == "no_group":
        return member
    if outcomes[0] not in {"done", "dropped"}:
        return _with(member, held, None)  # its handler is cancelled
    _tell(state, held)
    return _with(member, held, held._replace(told=True, since=state.now))


def end(state: State, redis: Direct, member: Member, held: Held) -> Member:
    state.done |= {held.id}
    return _with(member, held, held._replace(state="finished"))


def fail(state: State, redis: Direct, member: Member, held: Held) -> Member:
    state.budget = replace(state.budget, fails=state.budget.fails - 1)
    return _with(member, held, held._replace(state="failed"))


def ack(state: State, redis: Direct, member: Member, held: Held) -> Member:
    outcomes = _answered(acks.ack(redis, GROUP, member.name, [(STREAM, held.id)]))
    return member if outcomes is None or outcomes[0] == "no_group" else _with(member, held, None)


def postpone(state: State, redis: Direct, member: Member, held: Held) -> Member:
    done = _answered(
        release.postpone(
            *(redis, STREAM, GROUP, member.name, held.id),
            delay_seconds=TICK_MS / 1000,
            begun=held.begun,
            sure=lambda: state.now - held.since < LEASE_MS,
        )
    )
    if done is None:
        return member
    if done == "done":
        _tell(state, held)
    return _with(member, held, None)
