"""Leasing chosen entries, and no others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from redis.asyncio import Redis

from abe_redis.runtime import clock
from abe_redis.streams import names
from abe_redis.streams.lease import Leased, fields_of
from abe_redis.streams.scripts import Argument, Script

_TAKE_THESE = Script.load("take_these")

MOST_PASSED = 500
"""Most undelivered entries that may be skipped to reach a chosen one."""

type Why = Literal["held", "postponed", "done", "far"]
"""Why an entry was not leased: another consumer holds it, it is postponed, it is finished or does not exist,
or too many undelivered entries stand before it."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The result of leasing chosen entries."""

    leased: list[Leased]
    others: list[tuple[str, Why, str]]
    """Per entry that was not leased: its id, the reason, and the consumer that holds it, if any."""
    passed: int
    """Number of entries that were leased and released at once, because they stood before a chosen one."""


async def take_these(
    redis: Redis,
    group: str,
    consumer: str,
    stream: str,
    ids: Sequence[str],
    *,
    lease_seconds: float,
    postponed: bool,
    counted: bool = True,
) -> Chosen:
    """Lease these entries, as far as nobody holds them.

    Args:
        redis: The client.
        group: The group.
        consumer: Who takes them.
        stream: Where they are.
        ids: Which.
        lease_seconds: How long the consumer's leases last.
        postponed: Whether to take also what is postponed.
        counted: Whether this is a delivery; else their counts stay as they are.

    Raises:
        redis.ResponseError: NOGROUP, when there is no such group.
    """
    arguments: list[Argument] = [group, consumer, round(lease_seconds * 1000), MOST_PASSED]
    arguments += (int(postponed), int(counted))
    asked_at = clock.now()
    rows, others, passed = await _TAKE_THESE(redis, names.with_all([stream], group), [*arguments, *ids])
    leased = [
        Leased(
            *(stream, entry_id.decode(), fields_of(flat), int(deliveries), asked_at),
            again=deliveries > 1,
            rest_seconds=rest / 1000,
            postponed_because=reason.decode(errors="replace"),
        )
        for entry_id, flat, deliveries, rest, reason in rows
    ]
    order = {entry_id: at for at, entry_id in enumerate(ids)}
    return Chosen(
        leased=sorted(leased, key=lambda one: order[one.id]),
        others=[
            (entry_id.decode(), why.decode(), holder.decode(errors="replace"))
            for entry_id, why, holder in others
        ],
        passed=passed,
    )
