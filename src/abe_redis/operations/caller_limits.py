"""What a caller may do in its streams: in which groups, how much, and what needs consent.

A person may do everything. An agent's limits are checked here, below every interface, so that no tool can
forget them.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from abe_redis.errors import RequestError
from abe_redis.schemas import MAX_DELAY_SECONDS
from abe_redis.streams.patterns import Patterns


class Named(NamedTuple):
    """An event that an agreement is about; events of several streams may have the same id."""

    stream: str
    group: str
    id: str


AGREED: ContextVar[frozenset[Named] | None] = ContextVar("agreed", default=None)
"""The events for which the user has agreed to the current call; None: the user has not agreed."""


class Limits:
    """The limits of a person: none."""

    is_limited = False
    """Whether there are limits, and whether burying, redriving and settling shared work need consent."""
    max_delay_seconds: float = MAX_DELAY_SECONDS
    """Longest time for which an event may be postponed."""

    def narrowed(self, patterns: Patterns) -> Patterns:
        """Those of these streams that the caller may use."""
        return patterns

    def check_stream(self, stream: str, patterns: Patterns) -> None:
        """Refuse one of these streams that the caller may not use.

        Raises:
            RequestError: It may not.
        """

    def facts(self) -> dict[str, str]:
        """Further facts about a caller for the audit."""
        return {}

    def check_group(self, group: str, stream: str) -> None:
        """Refuse work in a group of a stream that the caller may not work in.

        Raises:
            RequestError: It may not.
        """

    def may_create(self, group: str, *, first: bool) -> bool:  # noqa: ARG002 - a person may
        """Whether the caller may make this group, which may be the first of its stream."""
        return True

    def check_start(self, group: str) -> None:
        """Refuse a choice of where a new group begins, if the caller may not make it.

        Raises:
            RequestError: It may not.
        """

    def may_read(self, payload: Mapping[str, Any]) -> bool:  # noqa: ARG002 - a person may
        """Whether the caller may read the words of this event, or find them out with a filter."""
        return True

    def known(self, name: str, value: str | None, payload: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - as above
        """The part of a fact about an event, such as its `channel`, that the caller may know."""
        return value

    def grant(self, events: int) -> int:
        """How many of these events the caller may take now; it gives back the rest of the grant.

        Raises:
            RequestError: None.
        """
        return events

    def about_grant(self, granted: int, asked: int) -> str:  # noqa: ARG002 - a person gets all
        """The sentence about a grant of fewer events than the caller asked for."""
        return ""

    def give_back(self, events: int) -> None:
        """Note that so many granted events were not taken."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the caller's turn to read a page of events: pages are large, and share a connection.

        Raises:
            RequestError: It does not come in time.
        """
        yield

    def spend(self, events: int, size: int = 0) -> None:
        """Count events that are added or delivered again, and the bytes that are written.

        Raises:
            RequestError: They are too many.
        """

    def afford(self, events: int = 0) -> None:
        """Refuse a call that would exceed a limit, before the user is asked about it.

        Raises:
            RequestError: It would.
        """

    def open_stream(self) -> None:
        """Count a stream that the caller makes.

        Raises:
            RequestError: They are too many.
        """

    @contextmanager
    def granted(self, events: int) -> Iterator["Grant"]:
        """A grant of events to take; the unused rest is given back at the end."""
        grant = Grant(self.grant(events))
        try:
            yield grant
        finally:
            self.give_back(grant.events - grant.taken)

    def agreed(self, held: Sequence[Named]) -> list[str]:
        """The ids of those of the events about which somebody has agreed.

        Raises:
            RequestError: Nobody has agreed to anything, though there are some.
        """
        given = AGREED.get()
        if held and given is None:
            raise RequestError(
                "Nothing was done: this needs the user's agreement. Ask them, and when they agree, call "
                "again with confirm=true."
            )
        return [one.id for one in held if one in (given or ())]


class Grant:
    """The number of events that may be taken, and the number taken."""

    def __init__(self, events: int) -> None:
        self.events = events
        self.taken = 0
