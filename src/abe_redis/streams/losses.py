"""Logs the losses that a script has found and counted, and what it put back."""

import logging
from collections.abc import Sequence

from abe_redis.events.log_fields import of
from abe_redis.runtime import plurals
from abe_redis.runtime.shell import command

_LOG = logging.getLogger(__name__)


def say_gone(stream: str, group: str, ids: Sequence[str]) -> None:
    """Log which entries are gone before a group had finished them, if there are any."""
    if ids:
        _LOG.error(
            "%s of %r that group %r had not finished %s gone: %s. Somebody removed %s (XTRIM, XDEL), or the "
            "consumer and %s; or a failover or a restart lost the latest writes. Redis does not say which.",
            plurals.count(len(ids), "event"),
            stream,
            group,
            "is" if len(ids) == 1 else "are",
            ", ".join(ids[:10]),
            *(["it" if len(ids) == 1 else "them"] * 2),
        )


def say_replaced(stream: str, group: str, told: bytes) -> int:
    """Log that a stream is an older copy of the one that a group was recorded in, if it is.

    Args:
        stream: The stream.
        group: The group.
        told: The last entry that both have, the last one that the group was given, and how many are lost, as
            a script answers them; empty if the stream is as it was.

    Returns:
        How many events are lost, by the last record.
    """
    if not told:
        return 0
    upto, last, lost = told.decode().split()
    count = int(lost)
    _LOG.error(
        "Somebody has put an older copy in the place of stream %r (RESTORE or COPY with REPLACE), or deleted "
        "it and made it again: it lacks what came after %s, and group %r had been given events up to %s. By "
        "the last record, %s that the group had not finished %s lost; what was published since then, within "
        "about a second, is not counted. Events that were finished may run again.",
        *(stream, upto, group, last, plurals.count(count, "event"), "is" if count == 1 else "are"),
        extra=of(stream, group=group),
    )
    return count


def say_put_back(stream: str, group: str, count: int) -> None:
    """Log how many entries were put back that a removed consumer had held, if there are any."""
    if count:
        _LOG.warning(
            "Put back %s of %r for group %r: somebody had removed the consumer that held %s (XGROUP "
            "DELCONSUMER, or DESTROY and CREATE), or acknowledged %s by hand (XACK), or a failover lost the "
            "latest writes. If its worker is alive, it goes on with %s; else another one gets %s after a "
            "lease.",
            plurals.count(count, "event"),
            stream,
            group,
            *(["it" if count == 1 else "them"] * 4),
        )


def say_unlisted(stream: str, group: str, count: int) -> None:
    """Log how many entries a removed consumer had held that nobody can tell from finished ones, if any."""
    if count:
        one = count == 1
        _LOG.error(
            "%s of %r that group %r had not finished %s dropped with a consumer that somebody removed "
            "(XGROUP DELCONSUMER), and %s as lost: so many were pending that nobody knows which they are. "
            "Unless somebody removed them, they are in the stream still, and `%s` delivers them again, "
            "together with what was finished since that point.",
            plurals.count(count, "event"),
            stream,
            group,
            *(("was", "counts") if one else ("were", "count")),
            command("group replay", stream, group, options="--from POINT"),
        )
