"""Whether what was just leased may be in flight already, at a price that does not matter.

Redis gives new entries in the order of their ids, so one that is not behind all that came before is here
for the second time: somebody set the group back, or made it again. So may be what was taken over.
"""

from collections.abc import Iterable

from abe_redis.streams import ids
from abe_redis.streams.lease import Leased


class Recognition:
    """The largest id that came of each stream."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}

    def may_know(self, leased: Iterable[Leased]) -> bool:
        """Whether one of these may have come before; from now on, all have."""
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
