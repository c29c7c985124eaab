"""Logs the losses that a script has found and counted."""

import logging
from collections.abc import Sequence

from abe_redis.runtime import plurals

_LOG = logging.getLogger(__name__)


def say_gone(stream: str, group: str, ids: Sequence[str]) -> None:
    """Log which entries were removed before a group had finished them, if there are any."""
    if ids:
        _LOG.error(
            "%s of %r that group %r had not finished %s removed: %s. Somebody used XTRIM or XDEL, or removed "
            "the consumer.",
            plurals.count(len(ids), "event"),
            stream,
            group,
            "was" if len(ids) == 1 else "were",
            ", ".join(ids[:10]),
        )
