"""What became of the rows of one process that were forwarded from an outbox together."""

import logging
from dataclasses import dataclass
from pathlib import Path

from abe_redis.runtime import plurals

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Sent:
    """Numbers of rows, and why the last one was refused."""

    delivered: int = 0
    refused: int = 0
    reason: str = ""

    def tell(self, path: Path) -> None:
        """Log it."""
        if self.delivered:
            _LOG.warning("Redis took %s from the outbox %s.", plurals.count(self.delivered, "event"), path)
        if self.refused:
            _LOG.error(
                "%s in the outbox %s cannot be delivered; that file keeps each with its reason. The last: %s",
                *(plurals.count(self.refused, "event"), path, self.reason),
            )
