"""What a consumer makes of turns that failed: whether it goes on, what it says, and how long it waits."""

import logging
import random
from collections.abc import Sized

from abe_redis.client import failures
from abe_redis.settings import Settings

_LOG = logging.getLogger(__name__)

_SILENT_FAILURES = 3
"""Number of consecutive failures from a deleted or replaced stream before one is logged."""


class Troubles:
    """The failures of one consumer since its last turn that worked."""

    def __init__(self, settings: Settings, group: str, away: Sized) -> None:
        """Begin without any.

        Args:
            settings: Where Redis is.
            group: The group.
            away: The streams whose node is away, of which the log tells by itself.
        """
        self.failed = 0
        """Number of consecutive failures."""
        self._settings = settings
        self._group = group
        self._away = away
        self._warned = False
        self._passes = failures.passes
        """Whether a retry helps after a failure."""

    def note(self, error: BaseException, *, is_told: bool) -> float:
        """Note a failure.

        Args:
            error: The failure.
            is_told: Whether the log has just told its cause.

        Returns:
            The seconds to wait before the next turn.

        Raises:
            AbeRedisError: It does not pass.
        """
        self.failed += 1
        is_gone = failures.stream_is_gone(error)
        if not is_gone or self.failed > _SILENT_FAILURES:
            sentence = failures.explain(error, self._settings, doing=f"reading group {self._group!r}")
            if not self._passes(error) and not is_gone:
                raise sentence from None
            # What was on its way to a node when it went away may fail some time later.
            is_late = bool(self._away) and self.failed == 1 and failures.passes(error)
            if not (self._warned or is_told or is_late):
                _LOG.warning("%s Trying again until it works.", sentence)
                self._warned = True
        # Consumers that failed together should not return together.
        seconds = failures.pause_seconds(self.failed) * random.uniform(0.5, 1)  # noqa: S311
        if is_told:  # the next failure is the first one of the other streams
            self.failed = 0
        return seconds

    def over(self) -> None:
        """Note that a turn has worked."""
        if self._warned:
            besides = ", besides the streams that wait for a node of the cluster" if self._away else ""
            _LOG.warning("Group %r reads again%s.", self._group, besides)
        self.failed, self._warned = 0, False
        self._passes = failures.passes_for_who_was_let_in
