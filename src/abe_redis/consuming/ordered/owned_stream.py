"""A stream that an ordered consumer owns: for how long, up to where, and whether it may be read.

    CLAIMED --loaded--> READY --revoke--> REVOKING --> released
       ^                 |  ^                |
       +--- fell_behind -+  +----- keep -----+

A stream that is lost, or released, is forgotten from whatever state it is in.
"""

from dataclasses import dataclass
from enum import Enum

from abe_redis.runtime import clock
from abe_redis.streams.owners import Rest


class State(Enum):
    """The states of an owned stream: each says what its owner may do."""

    CLAIMED = "ours, but it is not read yet: entries that the group was given may be missing here"
    READY = "ours and read: every unfinished entry that the group was given is here"
    REVOKING = "ours until its handlers end: it is not read, and nothing of it is delivered"


@dataclass(slots=True)
class OwnedStream:
    """The ownership of one stream."""

    until: float
    """The time, by `clock.now`, at which ownership ends without renewal."""
    asked_at: float
    """The time of the last request that confirmed the ownership."""
    state: State = State.CLAIMED
    last: str = ""
    """The last id that the group was given, as far as we know; empty until the stream was READY."""
    rest: Rest | None = None
    """Where the takeover goes on, while it is CLAIMED; None: at its beginning."""
    kept_until: float = 0.0
    """The time until which it is not revoked."""
    _revoked_at: float = 0.0

    def confirm(self, asked_at: float, until: float) -> None:
        """Note that a request of `asked_at` renewed the ownership."""
        self.asked_at, self.until = asked_at, until

    def is_certain(self, now: float) -> bool:
        """Whether nobody else can own it at a time by `clock.now`."""
        return now < self.until and self.asked_at >= clock.doubted_at()

    def loaded(self, last: str) -> None:
        """Note that every unfinished entry up to `last` is here, or was left to others."""
        if self.state is State.CLAIMED:
            self.last, self.state = last, State.READY

    def fell_behind(self) -> None:
        """Note that the group was given entries that are missing here."""
        if self.state is State.READY:
            self.state = State.CLAIMED

    def revoke(self) -> None:
        """Stop reading and delivering, so that the stream can be released."""
        if self.state is not State.REVOKING:
            self.state, self._revoked_at = State.REVOKING, clock.now()

    def keep(self) -> None:
        """Take the revocation back."""
        if self.state is State.REVOKING:
            self.state = State.READY if self.last else State.CLAIMED

    def keep_if_slow(self, now: float, *, patience: float, kept_for: float) -> None:
        """Keep a stream for a while whose handlers did not end within the patience in seconds."""
        if self.state is State.REVOKING and now - self._revoked_at > patience:
            self.keep()
            self.kept_until = now + kept_for
