"""What of an outbox waits for one stream, while the events of other streams are forwarded.

The events of a stream stay in order: behind one that Redis does not take, the others of its stream wait.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from abe_redis.publishing.outbox_elsewhere import Elsewhere
from abe_redis.publishing.outbox_rows import Row


@dataclass(slots=True)
class HeldUp:
    """The streams that hold up their own events, of one process that wrote into the outbox."""

    elsewhere: Elsewhere
    """What other processes forward of what ended ones left."""
    losses: int = 0
    """How often the file had been lost when this was found out: the numbers are those of one file."""
    first: dict[str, int] = field(default_factory=dict)
    """The streams, each with the number of its first waiting row."""
    ahead: Mapping[str, int] = field(default_factory=dict)
    """The streams of which events of processes that ended before wait, each with the first one's number."""
    behind: set[str] = field(default_factory=set)
    """Those of the streams whose first row waits for one elsewhere, and not for Redis."""
    read_to: int = 0
    """The number up to which every row that waits is one of these streams."""

    @property
    def waits_for_redis(self) -> bool:
        """Whether Redis does not take one of the streams."""
        return not self.first.keys() <= self.behind

    def passes_by(self, row: Row) -> bool:
        """Note that a row was read; True if it waits behind an earlier one of its stream."""
        stream = row.draft.stream
        if stream not in self.first:
            if self.elsewhere.is_before(stream, row.number):
                self.behind.add(stream)
            if stream in self.behind or self.ahead.get(stream, row.number) < row.number:
                self.first[stream] = row.number
        waits = stream in self.first
        if waits:
            self.read_to = row.number
        return waits

    def hold(self, row: Row) -> None:
        """Let a row, and those of its stream behind it, wait."""
        self.first[row.draft.stream] = row.number

    def try_again(self, stream: str) -> int:
        """Let go of a stream; answers the number behind which its first row is."""
        self.behind.discard(stream)
        return self.first.pop(stream) - 1


def all_of(several: Iterable[HeldUp]) -> dict[str, int]:
    """The streams that hold up what any of some processes wrote, each with the first one's number."""
    found: dict[str, int] = {}
    for held in several:
        for stream, number in held.first.items():
            found[stream] = min(number, found.get(stream, number))
    return found
