"""What a read may have leased us when its answer never came."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum


class Doubt(Enum):
    """What the reads whose answers are lost may have left behind."""

    NOTHING = "every answer has come"
    UNCOUNTED = "entries whose counts are right: a script read them, or took them over"
    COUNTED = "entries that Redis counted as delivered, though nobody saw them: a blocking read got them"


class Unconfirmed:
    """The reads of one consumer that have no answer yet, or never will."""

    def __init__(self) -> None:
        self.doubt = Doubt.NOTHING

    @contextmanager
    def reading(self, doubt: Doubt) -> Iterator[None]:
        """While a read runs, and for good if it fails or is cancelled, it is in doubt what it leased us."""
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
        """Note that what they left was given back."""
        self.doubt = Doubt.NOTHING
