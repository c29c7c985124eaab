"""Entries that a read may have leased to us although its answer was lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum


class Doubt(Enum):
    """What reads with lost answers may have leased."""

    NOTHING = "every answer has come"
    UNCOUNTED = "entries whose counts are right: a script read them, or took them over"
    COUNTED = "entries that Redis counted as delivered, though nobody saw them: a blocking read got them"


class Unconfirmed:
    """The reads of one consumer that have no answer yet, or whose answer was lost."""

    def __init__(self) -> None:
        self.doubt = Doubt.NOTHING
        self._aside = Doubt.NOTHING
        """The same, of streams that are away."""

    @contextmanager
    def reading(self, doubt: Doubt) -> Iterator[None]:
        """Mark what a read leases as in doubt: while it runs, and for good if it fails or is cancelled."""
        before = self.doubt
        self.leave(doubt)
        yield
        self.doubt = before

    def leave(self, doubt: Doubt) -> None:
        """Note that a read has no answer.

        Where both kinds have none, no count is taken back: better one too many than one too few.
        """
        self.doubt = _both(self.doubt, doubt)

    def settled(self, *, everywhere: bool = True) -> None:
        """Note that what they leased was released; or not everywhere, since streams are away."""
        if not everywhere:
            self._aside = _both(self._aside, self.doubt)
        self.doubt = Doubt.NOTHING

    def take_back(self) -> None:
        """Note that streams are here again which were away."""
        self.doubt, self._aside = _both(self.doubt, self._aside), Doubt.NOTHING


def _both(one: Doubt, other: Doubt) -> Doubt:
    if Doubt.NOTHING in {one, other}:
        return other if one is Doubt.NOTHING else one
    return one if one is other else Doubt.UNCOUNTED
