"""What the log says of an outbox whose events have to wait: each thing once, until nothing waits."""

import logging
from pathlib import Path

from abe_redis.client import failures
from abe_redis.errors import OutboxError
from abe_redis.publishing import outbox_failures
from abe_redis.publishing.outbox_file import check
from abe_redis.publishing.outbox_inherited import Inherited
from abe_redis.publishing.outbox_thread import FileThread
from abe_redis.settings import Settings

_LOG = logging.getLogger(__name__)


class Complaints:
    """What the log has said."""

    def __init__(self, path: Path, settings: Settings, inherited: Inherited) -> None:
        self._path = path
        self._inherited = inherited
        self._settings = settings
        self._said = set[str]()
        self.last = "Older events of the stream wait in the outbox."
        """Why events wait, by the last complaint."""

        self.is_unusable = False
        """True from when nobody can use the file as it is, until somebody can."""

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
        """Log what keeps the file from taking events and giving them back, unless it is said."""
        if str(error) not in self._said:
            self._said.add(str(error))
            _LOG.error("%s Until then no event is kept while Redis is away.%s", error, _meanwhile(error))

    def notes_unusable(self, error: BaseException) -> bool:
        """Note, and log once, that nobody can use the file as it is; False if that is not the failure."""
        if not isinstance(error, OutboxError) or not outbox_failures.is_unusable(error):
            return False
        self.is_unusable = True
        self._inherited.note_none()
        self.tell_of_file(error)
        return True

    async def look_for_trouble(self, until: float) -> None:
        """Log now what would keep the outbox from working when Redis is away."""
        try:
            await FileThread(self._path).run(check, self._path, until)
        except OutboxError as error:
            self.tell_of_file(error)

    def are_over(self) -> None:
        """Note that nothing waits any more."""
        self._said.clear()


def _meanwhile(error: Exception) -> str:
    if not isinstance(error, OutboxError) or not outbox_failures.is_unusable(error):
        return ""
    return " While Redis is there, events go to it directly, ahead of what the file may hold."
