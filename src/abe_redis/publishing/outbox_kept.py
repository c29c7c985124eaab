"""What publishing answers for an event that waits in the outbox."""

from dataclasses import dataclass
from typing import override

from abe_redis.events.published import Published


@dataclass(frozen=True, slots=True)
class Kept(Published):
    """An event that waits in the outbox; its `id` is `outbox-` and the number of its row."""

    reason: str = ""
    """Why Redis could not take it, or could not take the first event before it."""

    @property
    @override
    def is_kept(self) -> bool:
        return True


def reason_of(published: Published) -> str | None:
    """Why Redis does not take an event at present; None when it has."""
    return (published.reason or None) if isinstance(published, Kept) else None
