"""Entries that a read may have leased to us although its answer was lost."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum

from abe_redis.consuming.held import Held


class Doubt(IntEnum):
    """What reads with lost answers may have leased."""

    NOTHING = 0
    """Every answer has come."""
    UNCOUNTED = 1
    """Entries whose counts are right: a script read them, or took them over."""
    COUNTED = 2
    """Also entries that Redis counted as delivered, though nobody saw them: a blocking read got them. Redis
    knows which others a script took over meanwhile."""


class Unconfirmed:
    """The reads of one consumer that have no answer yet, or whose answer was lost."""

    def __init__(self) -> None:
        self.doubt = Doubt.NOTHING
        self.given: list[Held] = []
        """Prefetched entries that were released, without an answer: we may hold them still."""
        self._aside = Doubt.NOTHING
        """The same as `doubt`, of streams that are away."""

    @contextmanager
    def reading(self, doubt: Doubt) -> Iterator[None]:
        """Mark what a read leases as in doubt: while it runs, and for good if it fails or is cancelled."""
        before = self.doubt
        self.leave(doubt)
        yield
        self.doubt = before

    def leave(self, doubt: Doubt) -> None:
        """Note that a read has no answer."""
        self.doubt = max(self.doubt, doubt)

    @contextmanager
    def giving_back(self, given: Sequence[Held]) -> Iterator[None]:
        """Mark prefetched entries that are released as in doubt, likewise."""
        self.given += given
        with self.reading(Doubt.UNCOUNTED):
            yield
        self.given = [held for held in self.given if held not in given]

    @property
    def may_be_counted(self) -> bool:
        """Whether a blocking read of a stream that is away has no answer."""
        return self._aside is Doubt.COUNTED

    def settled(self, *, away: Collection[str] = ()) -> None:
        """Note that what they leased was released, except of the streams that are away."""
        if away:
            self._aside = max(self._aside, self.doubt)
        self.given = [held for held in self.given if held.key[0] in away]
        self.doubt = Doubt.NOTHING

    def take_back(self) -> None:
        """Note that streams are here again which were away."""
        self.doubt, self._aside = max(self.doubt, self._aside), Doubt.NOTHING
