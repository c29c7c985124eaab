"""What the log says while a stream takes no events: one line at the beginning, and one at the end."""

import logging
import time
from dataclasses import dataclass

from abe_redis.errors import AbeRedisError

_LOG = logging.getLogger(__name__)

QUIET_SECONDS = 10.0
"""Time after an outage in which no other one is told: a stream that is full takes an event now and then."""


@dataclass(slots=True)
class _Outage:
    """Of one stream: what was refused since it last took an event."""

    refused: int = 0
    is_told: bool = False
    quiet_until: float = 0.0


class Outages:
    """The outages of all streams to which what Slack sends goes."""

    def __init__(self) -> None:
        self._of: dict[str, _Outage] = {}

    def refused(self, stream: str, why: AbeRedisError | None) -> None:
        """An event was refused.

        Args:
            stream: Where it should have gone.
            why: The reason; None when its time was over before there was any, as behind another one.
        """
        outage = self._of.setdefault(stream, _Outage())
        outage.refused += 1
        if why is not None and not outage.is_told and time.monotonic() >= outage.quiet_until:
            outage.is_told = True
            _LOG.warning("Slack is asked to send events for %r again: %s", stream, why)

    def taken(self, stream: str) -> None:
        """An event was taken."""
        if not self._of or (outage := self._of.get(stream)) is None or not outage.refused:
            return
        now = time.monotonic()
        if outage.is_told:
            _LOG.warning("Redis takes events for %r again; refused meanwhile: %d.", stream, outage.refused)
            outage.is_told, outage.quiet_until = False, now + QUIET_SECONDS
        elif now < outage.quiet_until:
            return  # they count for the next one that is told
        outage.refused = 0
