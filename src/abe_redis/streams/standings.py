"""How far each group of a stream is with one entry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from typing import Any, Literal, NamedTuple

from redis.asyncio import Redis

from abe_redis.streams import ids, names, peek


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of an entry in a group."""

    group: str
    given: bool
    """Whether the group stands at it or behind it."""
    row: peek.PendingEntry | None
    """The entry, without its fields, if it is pending; also if it is only because somebody removed its
    consumer that it is not: then it is postponed, or nobody holds it, and it is delivered again."""
    began: str | None
    """The id behind which the group was given everything, as far as that is recorded."""
    was_moved: bool
    """Whether it may have had what lies before that, too."""
    paused: bool
    """Whether it is paused."""
    anew_at_ms: int | None
    """When a command of ours made, moved or replayed it last, so that it may have had its entries again; None
    when that was not noted yet, as it has had no consumer since."""

    def settled(self, entry_id: str) -> Literal["done", "skipped", "passed"]:
        """What an entry behind which the group stands, and which it does not have, is for it."""
        if self.began is None:
            return "passed"
        if ids.order(entry_id) > ids.order(self.began):
            return "done"
        return "passed" if self.was_moved else "skipped"


async def standings(redis: Redis, stream: str, entry_id: str, *, lease_seconds: float) -> list[Standing]:
    """The state of an entry in each group of a stream; for the lease see `peek.pending`."""
    rows: Any = await redis.xinfo_groups(stream)
    records = await _records(redis, stream, [row["name"] for row in rows])
    found = []
    for row in rows:
        group = row["name"].decode(errors="replace")
        pending_there = await peek.pending(
            *(redis, stream, group),
            after=ids.before(entry_id),
            count=1,
            consumer=None,
            until=entry_id,
            lease_seconds=lease_seconds,
        )
        given_it = ids.order(entry_id) <= ids.order(row["last-delivered-id"])
        there = pending_there[0] if pending_there else None
        if given_it and there is None:
            there = await _dropped(redis, stream, group, entry_id)
        record = records[row["name"]]
        at, _, how = record.began.partition(b" ")
        began = at.decode() if ids.is_id(at.decode()) else None
        found.append(Standing(group, given_it, there, began, bool(how), record.is_paused, record.anew_at_ms))
    return found


class _Record(NamedTuple):
    """What the records of a stream say of a group."""

    began: bytes
    """Where it began."""
    is_paused: bool
    anew_at_ms: int | None


async def _records(redis: Redis, stream: str, groups: Sequence[bytes]) -> dict[bytes, _Record]:
    """What the records say of groups."""
    pipeline = redis.pipeline(transaction=False)
    for group in groups:
        for what in (b"began ", b"paused ", b"anew "):
            pipeline.hget(names.records(stream), what + group)
    said: Any = await pipeline.execute() if groups else []
    return {
        group: _Record(began or b"", paused is not None, ids.number(anew))
        for group, (began, paused, anew) in zip(groups, batched(said, 3), strict=True)
    }


_POSTPONED_DELIVERIES = 4096
"""The part of a millisecond that stands for one delivery where an entry is postponed: see `postponed.lua`."""


async def _dropped(redis: Redis, stream: str, group: str, entry_id: str) -> peek.PendingEntry | None:
    """An entry that was postponed or given back, and that somebody dropped with its consumer."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.zscore(names.due(stream, group), entry_id)
    pipeline.hget(names.reasons(stream, group), entry_id)
    pipeline.hget(names.records(stream), f"given {group}")
    pipeline.xinfo_consumers(stream, group)
    due, reason, given_back, consumers = await pipeline.execute(raise_on_error=False)
    if failed := next((one for one in (due, given_back, consumers) if isinstance(one, Exception)), None):
        raise failed
    is_removed = all(row["name"] != names.NOBODY for row in consumers)
    counts = dict(line.split() for line in ((is_removed and given_back) or b"").splitlines())
    if due is None and entry_id.encode() not in counts:
        return None
    return peek.PendingEntry(
        id=entry_id,
        fields=None,
        consumer=names.NOBODY.decode(),
        idle_seconds=None,
        held_seconds=None,
        deliveries=int(counts.get(entry_id.encode(), 0))
        if due is None
        else round(due % 1 * _POSTPONED_DELIVERIES),
        due_at=None if due is None else datetime.fromtimestamp(float(due) / 1000, UTC),
        reason=reason.decode(errors="replace") if due is not None and isinstance(reason, bytes) else None,
    )
