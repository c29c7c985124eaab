"""The events that an ordered consumer has finished last.

When a group is made again, or somebody removed consumers, Redis may not know whether some events were
finished, and puts them back. Those of which the consumer knows better are acked again, not handled again.
"""

from collections import OrderedDict
from collections.abc import Iterable

MOST = 20_000


class Finished:
    """Remembers the last 20,000, by stream and id."""

    def __init__(self) -> None:
        self._keys = OrderedDict[tuple[str, str], None]()

    def note(self, keys: Iterable[tuple[str, str]]) -> None:
        """Note that these are finished."""
        for key in keys:
            self._keys[key] = None
        while len(self._keys) > MOST:
            self._keys.popitem(last=False)

    def forget(self, keys: Iterable[tuple[str, str]]) -> None:
        """Note that these are to be handled once more: somebody set the group back, or replays them."""
        for key in keys:
            self._keys.pop(key, None)

    def of(self, stream: str, ids: Iterable[str]) -> list[str]:
        """Those of these events of a stream that are finished."""
        return [entry_id for entry_id in ids if (stream, entry_id) in self._keys]
