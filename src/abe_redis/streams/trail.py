"""The trail of a group's records: it shows whether Redis still has all that a consumer once read there.

Each record of a group's progress adds one time to the trail, and no other command changes it. So the same
record, counted from the trail's beginning, has another time only in older data that was written on.
"""

from typing import NamedTuple

from abe_redis.streams import ids

_SHORTEST = 3


class Trail(NamedTuple):
    """How far a group was recorded in a stream."""

    began: int
    """When it began; one that was deleted and made again is another trail."""
    records: int
    """How many there were since then."""
    times: list[int]
    """Times of the last records, in milliseconds since the epoch; the newest is last."""

    @classmethod
    def read(cls, said: bytes) -> "Trail | None":
        """The trail as a script answers it; None if nobody has recorded the group, or it is none of ours."""
        words = said.split()
        if len(words) < _SHORTEST or not ids.are_numbers(words):
            return None
        began, count, *times = map(int, words)
        return cls(began, count, times)

    def lacks(self, other: "Trail") -> bool:
        """Whether this one, read later, lacks the newest record of the other."""
        if self.began != other.began:
            return False
        newer = self.records - other.records
        if newer < 0:
            return True
        return newer < len(self.times) and self.times[-1 - newer] != other.times[-1]

    def kept(self, other: "Trail") -> int | None:
        """The time of the newest record that is older than the other's newest; None if unknown."""
        return max((time for time in self.times if time < other.times[-1]), default=None)
