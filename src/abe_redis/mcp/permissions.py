"""The permissions and limits of agents at this server, as set when the server starts."""

import time
from collections import deque
from dataclasses import dataclass, field

from abe_redis.errors import RequestError
from abe_redis.schemas import MAX_COUNT

_MINUTE = 60.0


@dataclass(slots=True)
class Permissions:
    """The permissions of one server; see the options of `abe-redis mcp`."""

    read_only: bool = False
    """Offer only tools that change nothing."""
    publish: bool = True
    """Allow publishing events."""
    streams: tuple[str, ...] = ()
    """Names and patterns that restrict the streams further; if empty, all that the settings name."""
    changes_per_minute: int = 120
    """Most calls per minute that change something."""
    payload_bytes: int = 256 * 1024
    """Largest payload to publish, in bytes of JSON."""
    _changes: deque[float] = field(default_factory=deque)

    def check_change(self) -> None:
        """Count a call that changes something.

        Raises:
            RequestError: There were too many such calls in the last minute.
        """
        now = time.monotonic()
        while self._changes and self._changes[0] <= now - _MINUTE:
            self._changes.popleft()
        if len(self._changes) >= self.changes_per_minute:
            wait = self._changes[0] + _MINUTE - now
            raise RequestError(
                f"This server carries out {self.changes_per_minute} changes a minute (--changes-per-minute), "
                f"and that many there were: try again in {wait:.0f} s. A call may concern {MAX_COUNT} events."
            )
        self._changes.append(now)

    def check_payload(self, size: int) -> None:
        """Refuse a payload that is too large for an agent.

        Raises:
            RequestError: It is.
        """
        if size > self.payload_bytes:
            raise RequestError(
                f"The payload has {size:,} bytes of JSON; this server takes {self.payload_bytes:,} "
                "(--max-payload). Publish a reference to what is large."
            )
