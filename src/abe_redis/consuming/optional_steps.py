"""Steps that Redis may refuse without ending the consumer."""

import logging
from collections.abc import Awaitable

from redis.exceptions import ResponseError

from abe_redis.client import failures
from abe_redis.settings import Settings

_LOG = logging.getLogger(__name__)


class Tolerance:
    """Runs steps whose failure stops nothing."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._settings = settings
        self._group = group
        self._refused: set[str] = set()
        """The steps whose last attempt failed."""

    async def attempt(self, doing: str, work: Awaitable[None]) -> None:
        """Run a step; when the server refuses it, say so once.

        Args:
            doing: The step in words, for the log.
            work: Runs it.

        Raises:
            redis.RedisError: The server could not be reached, or a stream is not what it was.
        """
        try:
            await work
        except ResponseError as error:
            if failures.stream_is_gone(error):
                raise
            if doing not in self._refused:
                self._refused.add(doing)
                sentence = failures.explain(error, self._settings, doing=doing)
                _LOG.warning("%s Group %r goes on without.", sentence, self._group)
        else:
            if doing in self._refused:
                self._refused.remove(doing)
                _LOG.info("Group %r: %s works again.", self._group, doing)
