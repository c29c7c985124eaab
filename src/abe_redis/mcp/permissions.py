"""The permissions and limits of agents at this server, as set when the server starts."""

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from abe_redis.errors import RequestError
from abe_redis.mcp import access
from abe_redis.mcp.trust import Trust, fact
from abe_redis.operations.caller_limits import Limits
from abe_redis.runtime import clock
from abe_redis.sanitize.untrusted import quoted
from abe_redis.schemas import MAX_COUNT
from abe_redis.schemas.stats import AGENTS
from abe_redis.streams.patterns import Patterns

_MINUTE = 60.0


_NEW_STREAMS = 20
"""Most streams per minute that agents make by publishing to them."""


_READS = 4
"""Calls that read pages of events at the same time: 16 MiB each at most."""
_TURN_SECONDS = 30.0


class Budget:
    """A number of units that may be spent per minute."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._spent: deque[tuple[float, int]] = deque()
        self._sum = 0

    @property
    def left(self) -> int:
        """The units that may be spent now."""
        bound = clock.now() - _MINUTE
        while self._spent and self._spent[0][0] <= bound:
            self._sum -= self._spent.popleft()[1]
        return self.per_minute - self._sum

    @property
    def wait_seconds(self) -> float:
        """Seconds until more may be spent."""
        return self._spent[0][0] + _MINUTE - clock.now() if self._spent else 0.0

    def spend(self, count: int) -> None:
        """Spend units."""
        if count:
            self._spent.append((clock.now(), count))
            self._sum += count

    def give_back(self, count: int) -> None:
        """Take back units that were spent last."""
        while count > 0 and self._spent:
            then, had = self._spent.pop()
            kept = max(0, had - count)
            count -= had - kept
            self._sum -= had - kept
            if kept:
                self._spent.append((then, kept))


@dataclass
class Permissions(Limits):
    """The permissions of one server; see the options of `abe-redis mcp`."""

    read_only: bool = False
    """Offer only tools that change nothing."""
    publish: bool = True
    """Allow publishing events."""
    streams: tuple[str, ...] = ()
    """Names and patterns that restrict the streams further; if empty, all that the settings name."""
    groups: tuple[str, ...] = ()
    """The groups in which agents may work; if empty, all that exist."""
    create_groups: bool = False
    """Allow making groups."""
    own_group: str = "default"
    """The group that consumers without a group belong to."""
    changes_per_minute: int = 120
    """Most calls per minute that change something."""
    events_per_minute: int = 1200
    """Most events per minute that are leased, published or delivered again."""
    bytes_per_minute: int = 8 * 1024 * 1024
    """Most bytes of JSON per minute that are published."""
    payload_bytes: int = 256 * 1024
    """Largest payload to publish, in bytes of JSON."""
    max_delay_seconds: float = 3600.0
    """Longest time for which an event may be postponed."""
    structured: bool = False
    """Give answers with people's words a structure, too, for programs."""
    trust: Trust = field(default_factory=Trust)
    """Whose words are shown."""
    is_limited: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        self._calls = Budget(self.changes_per_minute)
        self._events = Budget(self.events_per_minute)
        self._bytes = Budget(self.bytes_per_minute)
        self._streams = Budget(_NEW_STREAMS)
        self._reads = anyio.Semaphore(_READS)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn to read a page: only some calls read at once, as they share a connection."""
        with anyio.move_on_after(_TURN_SECONDS) as waiting:
            await self._reads.acquire()
        if waiting.cancelled_caught:
            raise RequestError(
                f"This server is busy: {_READS} calls read events at a time, and this one waited "
                f"{_TURN_SECONDS:g} s for its turn. Try again, with fewer calls at once."
            )
        try:
            yield
        finally:
            self._reads.release()

    def check_change(self) -> None:
        """Count a call that changes something.

        Raises:
            RequestError: There were too many such calls in the last minute.
        """
        if self._calls.left <= 0:
            raise self._too_often()
        self._calls.spend(1)

    def check_payload(self, size: int) -> None:
        """Refuse a payload that is too large for an agent.

        Raises:
            RequestError: It is.
        """
        if size > self.payload_bytes:
            raise RequestError(
                f"The payload has {size:,} bytes of JSON; this server takes {self.payload_bytes:,} "
                "(--max-payload). Publish a reference to what is large."
            )

    def narrowed(self, patterns: Patterns) -> Patterns:
        """Those of these streams that the token of the call allows."""
        return access.narrowed(patterns)

    def check_stream(self, stream: str, patterns: Patterns) -> None:
        """Refuse a stream that the token of the call does not allow."""
        access.check_stream(stream, patterns)

    def facts(self) -> dict[str, str]:
        """The owner of the token."""
        known = access.ACCESS.get()
        return {} if known is None else {"person": known.person}

    def check_group(self, group: str, stream: str) -> None:
        """Refuse work in a group that agents may not work in."""
        access.check_group(group, stream)
        if self.groups and group not in self.groups:
            raise RequestError(
                f"This server does not work in the group {quoted(group)}, only in: "
                f"{', '.join(map(quoted, self.groups))} (--groups). read_stream looks at its events."
            )

    def may_create(self, group: str, *, first: bool) -> bool:
        """Whether agents may make this group; by default only their own, on a stream without groups."""
        return self.create_groups or (first and group in (self.groups or (AGENTS, self.own_group)))

    def check_start(self, group: str) -> None:
        """Refuse a choice of where a group of others begins: they would never get the events before."""
        if group != AGENTS or group == self.own_group:
            raise RequestError(
                f"Agents do not choose where the group {group!r} begins: its workers would never get the "
                f"events before that. since is for the agents' own group, {AGENTS!r}; leave it out, and the "
                "new group begins at the oldest event. A person chooses with `abe-redis group create`."
            )

    def may_read(self, payload: Mapping[str, Any]) -> bool:
        """Whether an agent may know the words of this event."""
        return self.trust.withheld(payload) is None

    def known(self, name: str, value: str | None, payload: Mapping[str, Any]) -> str | None:
        """A fact about an event; of a withheld event no words, and not the reason for its burial."""
        if self.may_read(payload):
            return value
        return None if name == "reason" else fact(name, value)

    def grant(self, events: int) -> int:
        """How many of these events may be taken now."""
        granted = min(events, self._events.left)
        if granted <= 0:
            raise self._too_many()
        self._events.spend(granted)
        return granted

    def about_grant(self, granted: int, asked: int) -> str:
        """The sentence about a grant of fewer events than the caller asked for."""
        return (
            f"No more than {granted} of the {asked} were taken: agents take, publish and redrive "
            f"{self.events_per_minute:,} events a minute here (--events-per-minute). More in "
            f"{self._events.wait_seconds:.0f} s."
        )

    def give_back(self, events: int) -> None:
        """Note that so many granted events were not taken."""
        self._events.give_back(events)

    def afford(self, events: int = 0) -> None:
        """Refuse a call that would exceed what is left."""
        if self._calls.left <= 0:
            raise self._too_often()
        if events > self._events.left:
            raise self._too_many()

    def spend(self, events: int, size: int = 0) -> None:
        """Count events that are added or delivered again, and the bytes that are written."""
        if events > self._events.left:
            raise self._too_many()
        if size > self._bytes.left:
            raise RequestError(
                f"This server publishes {self.bytes_per_minute:,} bytes a minute (--bytes-per-minute), and "
                f"this call would exceed that: try again in {self._bytes.wait_seconds:.0f} s."
            )
        self._events.spend(events)
        self._bytes.spend(size)

    def open_stream(self) -> None:
        """Count a stream that an agent makes."""
        if self._streams.left <= 0:
            raise RequestError(
                f"Agents have made {_NEW_STREAMS} streams here in a minute: publish to one that exists, or "
                f"try again in {self._streams.wait_seconds:.0f} s."
            )
        self._streams.spend(1)

    def _too_often(self) -> RequestError:
        return RequestError(
            f"This server carries out {self.changes_per_minute} changes a minute (--changes-per-minute), "
            f"and this limit is reached: try again in {self._calls.wait_seconds:.0f} s. A call may concern "
            f"{MAX_COUNT} events."
        )

    def _too_many(self) -> RequestError:
        left, wait = self._events.left, f"{self._events.wait_seconds:.0f} s"
        return RequestError(
            f"Agents take, publish and redrive {self.events_per_minute:,} events a minute here "
            f"(--events-per-minute), and {max(0, left) or 'none'} are left: try again in {wait}, with fewer."
        )
