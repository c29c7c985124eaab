"""A cheap check whether newly leased entries may be in flight already.

Redis delivers new entries in the order of their ids. An entry whose id is not greater than all ids before it
is here for the second time: somebody set the group back, or made it again. A reclaimed entry may be here for
the second time, too.
"""

from collections.abc import Iterable

from abe_redis.streams import ids
from abe_redis.streams.lease import Leased


class Recognition:
    """The largest id leased so far from each stream."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}

    def may_know(self, leased: Iterable[Leased]) -> bool:
        """Whether one of these entries may have been leased before. Remembers all of them."""
        first: dict[str, str] = {}
        last: dict[str, str] = {}
        again = False
        for entry in leased:
            if entry.again:
                again = True
                self._note(entry.stream, entry.id)
            else:
                first.setdefault(entry.stream, entry.id)
                last[entry.stream] = entry.id
        for stream, entry_id in last.items():
            known = self._last.get(stream)
            again = again or (known is not None and ids.order(first[stream]) <= known)
            self._note(stream, entry_id)
        return again

    def _note(self, stream: str, entry_id: str) -> None:
        place, known = ids.order(entry_id), self._last.get(stream)
        self._last[stream] = place if known is None else max(place, known)
