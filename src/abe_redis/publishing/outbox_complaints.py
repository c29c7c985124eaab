"""What the log says of an outbox whose events have to wait: each thing once, until nothing waits."""

import logging
from pathlib import Path

from abe_redis.client import failures
from abe_redis.settings import Settings

_LOG = logging.getLogger(__name__)


class Complaints:
    """What the log has said."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._said = set[str]()
        self.last = "Older events of the stream wait in the outbox."
        """Why events wait, by the last complaint."""

    @property
    def are_any(self) -> bool:
        """Whether anything is said of what waits now."""
        return bool(self._said)

    def tell(self, error: BaseException, *, is_away: bool) -> None:
        """Log what stops the forwarding, unless it is said.

        Args:
            error: What stops it.
            is_away: Whether the log has said that Redis takes nothing at present.
        """
        if is_away and failures.passes(error):
            return
        sentence = str(failures.explain(error, self._settings, doing="delivering from the outbox"))
        if sentence not in self._said:
            self._said.add(sentence)
            self.last = sentence
            _LOG.error("%s What is in the outbox %s waits.", sentence, self._path)

    def tell_of_file(self, error: Exception) -> None:
        """Log what keeps the file from taking events."""
        self._said.add(str(error))
        _LOG.error("%s Until then no event is kept while Redis is away.", error)

    def are_over(self) -> None:
        """Note that nothing waits any more."""
        self._said.clear()
