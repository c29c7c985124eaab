"""What a consumer does beside reading may be refused without ending it."""

import logging
from collections.abc import Awaitable

from redis.exceptions import ResponseError

from abe_redis.client import failures
from abe_redis.settings import Settings

_LOG = logging.getLogger(__name__)


class Tolerance:
    """Does what may fail without anybody having to stop."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._settings = settings
        self._group = group
        self._refused: set[str] = set()
        """What failed when it was tried last."""

    async def attempt(self, doing: str, work: Awaitable[None]) -> None:
        """Do something; when the server refuses it, say so once.

        Args:
            doing: What it is, for the log.
            work: Does it.

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
