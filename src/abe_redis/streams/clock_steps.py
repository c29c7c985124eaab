"""Repairs after the server's clock was set back: what would stand still goes on after a lease.

Redis measures by its wall clock how long an entry is idle, and when a key expires. After the clock was set
back, the entries of a dead consumer show no idle time, and postponed entries are due later by the same time.
"""

import logging
from collections import Counter
from collections.abc import MutableMapping, Sequence

from redis.asyncio import Redis

from abe_redis.streams import names, slots
from abe_redis.streams.scripts import Argument, Script

_LOG = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
"""Interval of the checks; with a lease of less than three times as long, a third of the lease."""

_LEAST_STEP_MS = 1000
"""A step back that is worth a line in the log where nothing had to be mended; the clocks of two servers that
take turns differ by less."""

_PAGE = 300
_MEND = Script.load("mend_clock")


def every_seconds(lease_seconds: float) -> float:
    """Interval at which a consumer with this lease looks."""
    return min(EVERY_SECONDS, lease_seconds / 3)


async def mend(
    redis: Redis,
    group: str,
    streams: Sequence[str],
    *,
    lease_seconds: float,
    shown: MutableMapping[str, int] | None = None,
) -> None:
    """Check whether the server's clock was set back since the last check, and repair what that would delay.

    A dead consumer's events then come back after its lease, and postponed events when their delay is over.
    Live consumers lose nothing.

    Args:
        redis: The client.
        group: The group.
        streams: Streams; one that does not exist, or has no such group, has nothing to mend.
        lease_seconds: The lease of the consumer that checks.
        shown: What the clock of each stream's server showed at the last check, in ms; it is brought up to
            date. So a step back is noticed also where nothing is pending.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    arguments: list[Argument] = [group, round(every_seconds(lease_seconds) * 1000), _PAGE]

    async def look(some: Sequence[str]) -> None:
        back, left, step = Counter[str](), list(some), 0
        while left:
            keys = [key for one in left for key in (one, names.due(one, group), names.records(one))]
            answers = await _MEND(redis, keys, arguments)
            back.update({one: ms for one, (ms, _, _) in zip(left, answers, strict=True) if ms})
            if shown is not None:
                now = {one: at for one, (_, _, at) in zip(left, answers, strict=True)}
                step = max(step, *(shown.get(one, at) - at for one, at in now.items()))
                shown.update(now)
            left = [one for one, (_, more, _) in zip(left, answers, strict=True) if more]
        if back:
            _LOG.warning(
                "The server's clock was set back by %.1f s. Leases of group %r in %s began anew, and its "
                "postponed events keep their delays.",
                max(back.values()) / 1000,
                group,
                ", ".join(map(repr, sorted(back))),
            )
        elif step >= _LEAST_STEP_MS:
            _LOG.warning("The server's clock was set back by at least %.1f s.", step / 1000)

    await slots.in_steps(redis, streams, look, most=slots.MANY_STREAMS)
