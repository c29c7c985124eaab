"""Handlers beside each other: which one holds its event longer than the others do, by far."""

import time
from collections import deque
from dataclasses import dataclass

from abe_redis.events.event import Event

FEWEST = 10
"""Handlings that must have ended before one that goes on is compared with them."""
BY_FAR = 10
"""Times the longest of them."""


@dataclass(slots=True, eq=False)
class Handling:
    """A handler at work on an event."""

    event: Event
    began_at: float
    told: bool = False
    """Whether it was said that it takes long."""


class Peers:
    """The handlers of a worker."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._at_work: set[Handling] = set()
        self._took: deque[float] = deque(maxlen=100)

    def begin(self, event: Event) -> Handling:
        """Note that a handler begins."""
        handling = Handling(event, time.monotonic())
        self._at_work.add(handling)
        return handling

    def end(self, handling: Handling) -> None:
        """Note that it has ended."""
        self._at_work.discard(handling)
        self._took.append(time.monotonic() - handling.began_at)

    def stragglers(self) -> list[tuple[Event, float, float]]:
        """Events that are held for longer than a lease, and than any before by far; each is told once.

        Returns:
            Each event with the seconds for which it is held, and the longest of the last hundred.
        """
        if len(self._took) < FEWEST:
            return []
        longest, now = max(self._took), time.monotonic()
        bound = max(self._lease_seconds, BY_FAR * longest)
        found = [one for one in self._at_work if not one.told and now - one.began_at > bound]
        for one in found:
            one.told = True
        return [(one.event, now - one.began_at, longest) for one in found]
