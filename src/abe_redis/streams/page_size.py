"""How many entries to read at once: a page has few bytes, and all pages of one call have a bound."""

from collections.abc import Iterable
from dataclasses import dataclass

from abe_redis.events.codec import DATA, Fields

_FIRST, _PAGE_BYTES = 2, 1024 * 1024
"""Entries of a first page, which tell how large the others are; and about how many bytes a page may have."""


@dataclass(slots=True)
class PageSize:
    """The size of the next page, by the sizes of the entries before."""

    most: int
    """Most entries of a page."""
    most_bytes: int = 16 * 1024 * 1024
    """Bytes of all pages after which there are no more."""
    size: int = 0
    """Bytes read until now."""
    _next: int = 0

    @property
    def count(self) -> int:
        """Entries to read next."""
        return min(self.most, self._next or _FIRST)

    def is_spent(self) -> bool:
        """Whether enough bytes were read."""
        return self.size >= self.most_bytes

    def note(self, page: Iterable[Fields | None]) -> None:
        """Note a page that was read."""
        sizes = [len((fields or {}).get(DATA, b"")) for fields in page]
        if sizes:
            self.size += sum(sizes)
            self._next = max(1, _PAGE_BYTES * len(sizes) // max(1, sum(sizes)))
