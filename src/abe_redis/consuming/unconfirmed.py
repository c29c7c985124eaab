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
        self.doubt = doubt if self.doubt in {Doubt.NOTHING, doubt} else Doubt.UNCOUNTED

    def settled(self) -> None:
        """Note that what they leased was released."""
        self.doubt = Doubt.NOTHING
