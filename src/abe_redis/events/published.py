"""The outcome of a publish."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """The outcome of a publish."""

    id: str
    """The entry's id; of the first entry when this is a duplicate."""
    duplicate: bool
    """Whether the event was in the stream already, so that nothing was added."""
    length: int
    """How many entries the stream has now."""
    stream: str
    """Where it is: the stream that was named, or a partition of it."""

    @property
    def is_kept(self) -> bool:
        """Whether it waits in the outbox, and is in no stream yet."""
        return False
