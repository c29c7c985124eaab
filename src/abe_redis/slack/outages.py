"""What the log says while a stream takes no events: one line at the beginning, and one at the end."""

import asyncio
import logging
import time
from dataclasses import dataclass

from abe_redis.errors import AbeRedisError

_LOG = logging.getLogger(__name__)

QUIET_SECONDS = 10.0
"""Time after an outage in which no other one is told: a stream that is full takes an event now and then."""

_BEGINS = (
    "What Slack sends for %r is refused (it sends an event again, up to three times, but no command, action, "
    "shortcut or view): %s"
)
_ENDS = "Redis takes events for %r again; refused meanwhile: %d."
_ENDS_WITH_LOSS = "Redis takes events for %r again; refused meanwhile: %d, of which Slack sends %d no more."


@dataclass(slots=True)
class _Outage:
    """Of one stream: what was refused and is not told yet."""

    refused: int = 0
    lost: int = 0
    """How many of these Slack does not send again."""
    is_told: bool = False
    """Whether its beginning is told."""
    is_over: bool = False
    """Whether an event was taken since the last that was refused."""
    quiet_until: float = 0.0
    end: asyncio.TimerHandle | None = None
    """Tells the end after the quiet time."""


class Outages:
    """The outages of all streams to which what Slack sends goes."""

    def __init__(self) -> None:
        self._of: dict[str, _Outage] = {}

    def refused(self, stream: str, why: AbeRedisError | None, *, comes_again: bool) -> None:
        """An event was refused.

        Args:
            stream: Where it should have gone.
            why: The reason; None when its time was over before there was any, as behind another one.
            comes_again: Whether Slack sends it again.
        """
        outage = self._of.setdefault(stream, _Outage())
        outage.refused += 1
        outage.lost += not comes_again
        outage.is_over = False
        if why is not None and not outage.is_told and time.monotonic() >= outage.quiet_until:
            outage.is_told = True
            _LOG.warning(_BEGINS, stream, why)

    def taken(self, stream: str) -> None:
        """An event was taken."""
        if not self._of or (outage := self._of.get(stream)) is None or not outage.refused:
            return
        outage.is_over = True
        quiet = outage.quiet_until - time.monotonic()
        if outage.is_told or quiet <= 0:
            self._tell_end(stream, outage)
        elif outage.end is None:
            outage.end = asyncio.get_running_loop().call_later(quiet, self._quiet_is_over, stream, outage)

    def _quiet_is_over(self, stream: str, outage: _Outage) -> None:
        """Tell of what was refused in the quiet time, unless it goes on: then that is told."""
        outage.end = None
        if outage.is_over and self._of.get(stream) is outage:
            self._tell_end(stream, outage)

    def _tell_end(self, stream: str, outage: _Outage) -> None:
        """Tell how much was refused."""
        if outage.lost:
            _LOG.warning(_ENDS_WITH_LOSS, stream, outage.refused, outage.lost)
        else:
            _LOG.warning(_ENDS, stream, outage.refused)
        self._of[stream] = _Outage(quiet_until=time.monotonic() + QUIET_SECONDS)
