"""A stream in numbers; `health` interprets them."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis.asyncio import Redis

from abe_redis.inspection.health import judge
from abe_redis.schemas import Age, ConsumerStats, GroupStats, StreamStats
from abe_redis.schemas.stats import kind_of
from abe_redis.settings import Settings
from abe_redis.streams import consumers, hold_times, ids
from abe_redis.streams import info as streams_info
from abe_redis.streams.info import Row, StreamInfo, floor_in

_AGES: tuple[tuple[Age, float], ...] = (
    ("under_10s", 10),
    ("under_1m", 60),
    ("under_10m", 600),
    ("under_1h", 3600),
    ("older", float("inf")),
)


async def stream_stats(
    redis: Redis, stream: str, settings: Settings, *, ages: bool = False
) -> StreamStats | None:
    """The state of one stream.

    Args:
        settings: The lease and the bounds by which its health is judged.
        ages: Also read the age of each pending entry.

    Returns:
        None when there is no such stream.

    Raises:
        redis.ResponseError: WRONGTYPE, when the key is not a stream.
    """
    info = await streams_info.of_stream(redis, stream)
    if info is None:
        return None
    facts = info.facts
    reader = _Reader(redis, stream, info, settings.redis_stream_lease_seconds, ages)
    stats = StreamStats(
        stream=stream,
        length=facts["length"],
        added=facts["entries-added"],
        first_at=_published_at(facts["first-entry"]),
        last_at=_published_at(facts["last-entry"]),
        memory_bytes=info.memory_bytes,
        dead_letters=info.dead_letters,
        lost_unread=ids.number(info.records.get(b"unread")) or 0,
        full_at=_full_at(info, settings.redis_stream_hard_maxlen),
        first_id=_text(facts["first-entry"][0]) if facts["first-entry"] else None,
        last_id_for_spent=_last_id_for_spent(facts),
        groups=[*[await reader.group(row) for row in info.groups], *reader.destroyed()],
        health="ok",
        advice="",
    )
    stats.health, stats.advice = judge(stats, settings)
    return stats


def _full_at(info: StreamInfo, bound: int) -> int | None:
    """The bound at which publishers are refused; None while none is, as far as is known.

    Args:
        info: The stream.
        bound: That of this process; publishers may have others, which they note when they are refused.
    """
    length: int = info.facts["length"]
    if length >= bound:
        return bound
    refused_at, _, length_then = info.records.get(b"full", b"").partition(b" ")
    return int(refused_at) if refused_at and int(length_then) == length else None


def _last_id_for_spent(facts: Row) -> str | None:
    """The last id that a stream may be given whose last id is the largest there is.

    Redis takes none that lies before an entry, or before one that somebody deleted.

    Returns:
        None if the stream has larger ids to give; empty if it may have no other last id.
    """
    if facts["last-generated-id"].decode() != ids.LAST:
        return None
    newest, deleted = facts["last-entry"], facts.get("max-deleted-entry-id") or b"0-0"
    least = max((newest[0] if newest else b"0-0"), deleted, key=ids.order).decode()
    return "" if least == ids.LAST else least


def _text(entry_id: bytes | None) -> str | None:
    return None if entry_id is None else entry_id.decode()


def _published_at(entry: Any) -> datetime | None:  # noqa: ANN401 - redis-py's pair of id and fields
    return ids.moment(entry[0]) if entry else None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the state of a stream's groups."""

    redis: Redis
    stream: str
    info: StreamInfo
    lease_seconds: float
    ages: bool

    async def group(self, row: dict[str, Any]) -> GroupStats:
        """One group, from its row of XINFO GROUPS."""
        group = await streams_info.of_group(
            self.redis, self.stream, row, now=self.info.now, with_pending=self.ages
        )
        unread, lost = self._unread(row, group.lag)
        postponed = Counter(row["consumer"] for row in group.pending if row["message_id"] in group.postponed)
        lease = self._leases(group)
        holding = hold_times.longest(group.pending, group.postponed, group.records, self.info.now, lease)
        free = Counter(
            row["consumer"]
            for row in group.pending
            if row["message_id"] not in group.postponed
            and (hold_times.is_given_back(row) or hold_times.is_lease_over(row, lease(row["consumer"])))
        )
        unused = [one["idle"] / 1000 for one in group.consumers]
        if used := self._recorded("used", row["name"]):
            unused.append(max(0.0, self.info.now - used))
        return GroupStats(
            name=row["name"].decode(errors="replace"),
            pending=row["pending"],
            postponed=min(row["pending"], len(group.postponed)),
            lag=unread,
            oldest_pending_seconds=self._age(group.oldest_pending) if group.oldest_pending else None,
            oldest_undelivered_seconds=(
                self._age(group.oldest_undelivered) if group.oldest_undelivered else None
            ),
            oldest_pending=_text(group.oldest_pending),
            oldest_undelivered=_text(group.oldest_undelivered),
            oldest_held_seconds=max((one.seconds for one in holding.values()), default=None),
            pending_by_age=self._by_age(group.pending) if self.ages else {},
            last_delivered_id=row["last-delivered-id"].decode(),
            unused_seconds=round(min(unused), 3) if unused else None,
            seen_unused_seconds=self._seen_unused(row["name"], row["last-delivered-id"]),
            paused=b"paused " + row["name"] in self.info.records,
            beyond_end=self._is_beyond_end(row),
            lost=self._recorded("lost", row["name"]) + lost,
            consumers=[
                self._consumer(one, group, postponed[name], free[name], holding.get(name))
                for one in group.consumers
                for name in [one["name"]]
            ],
        )

    def _consumer(
        self,
        one: Row,
        group: streams_info.GroupInfo,
        postponed: int,
        free: int,
        holding: hold_times.Holding | None,
    ) -> ConsumerStats:
        """One consumer, from its row of XINFO CONSUMERS."""
        name, text = one["name"], one["name"].decode(errors="replace")
        alive = consumers.is_alive(
            one["idle"] / 1000,
            recorded_seconds=group.lease_seconds.get(name),
            lease_seconds=self.lease_seconds,
            has_left=name in group.records.ended | group.unheard,
        )
        return ConsumerStats(
            name=text,
            kind="person" if name in group.records.people else kind_of(text),
            pending=one["pending"],
            postponed=min(one["pending"], postponed),
            free=min(one["pending"], free),
            idle_seconds=one["idle"] / 1000,
            alive=alive,
            ended=name in group.records.ended,
            full=alive and name in group.records.full,
            lease_seconds=group.lease_seconds.get(name),
            holds=None if holding is None else holding.id,
            held_seconds=None if holding is None else holding.seconds,
            lease_over=holding is not None and holding.is_over,
        )

    def _leases(self, group: streams_info.GroupInfo) -> Callable[[bytes], float]:
        """How long the lease of a consumer lasts at most, as for whoever takes over its events."""
        said = group.lease_seconds
        unsaid = max([self.lease_seconds, *said.values()])
        return lambda name: said.get(name, unsaid)

    def destroyed(self) -> Iterator[GroupStats]:
        """The destroyed groups with a recorded floor."""
        facts, records = self.info.facts, self.info.records
        exist = {row["name"] for row in self.info.groups}
        for field, recorded in records.items():
            name = field.removeprefix(b"floor ")
            if name == field or name in exist:
                continue
            if (found := floor_in(recorded)) is None:  # somebody else's
                continue
            floor, added_then, unfinished = found
            new = facts["entries-added"] - added_then
            used = self._recorded("used", name)
            yield GroupStats(
                name=name.decode(errors="replace"),
                pending=0,
                # A stream that was made again since then is entirely unread.
                lag=facts["length"] if new < 0 else min(facts["length"], unfinished + new),
                last_delivered_id=floor.decode() if new >= 0 else "0-0",
                unused_seconds=round(max(0.0, self.info.now - used), 3) if used else None,
                seen_unused_seconds=self._seen_unused(name, floor),
                paused=b"paused " + name in records,
                destroyed=True,
                lost=self._recorded("lost", name) + (unfinished if new < 0 else 0),
                consumers=[],
            )

    def _age(self, entry_id: bytes) -> float:
        return round(max(0.0, self.info.now - ids.order(entry_id)[0] / 1000), 3)

    def _by_age(self, pending: list[Row]) -> dict[Age, int]:
        found = [self._age(row["message_id"]) for row in pending]
        bounds = [0.0, *(bound for _, bound in _AGES)]
        counted = {
            name: sum(low <= age < bound for age in found)
            for low, (name, bound) in zip(bounds, _AGES, strict=False)
        }
        return {name: count for name, count in counted.items() if count}

    def _recorded(self, what: str, group: bytes) -> int:
        said = self.info.records.get(what.encode() + b" " + group)
        return ids.number(said and said.partition(b".")[0]) or 0  # `used` may be in ms: see record_progress

    def _seen_unused(self, group: bytes, position: bytes) -> float:
        """Seconds for which trimming has seen that nobody uses a group, while it stands where it does."""
        match self.info.records.get(b"unused " + group, b"").split():
            case [_, seen_at, _, looked_ms] if seen_at == position:
                return (ids.number(looked_ms) or 0) / 1000
        return 0.0

    def _is_beyond_end(self, row: dict[str, Any]) -> bool:
        end = self.info.facts["last-generated-id"]
        return ids.order(row["last-delivered-id"]) > ids.order(end)

    def _unread(self, row: dict[str, Any], lag: int | None) -> tuple[int | None, int]:
        """The undelivered entries, and those removed undelivered that are not recorded yet.

        Redis counts both as lag: see `groups`.
        """
        if self._is_beyond_end(row):
            return None, 0
        last_delivered = ids.order(row["last-delivered-id"])
        if last_delivered >= ids.order(self.info.facts["last-generated-id"]):
            return 0, 0  # Redis 7.0 counts what the group had before a restart
        first = self.info.facts["first-entry"]
        if first and ids.order(first[0]) <= last_delivered:
            return lag, 0
        length, read = self.info.facts["length"], row["entries-read"]
        return length, 0 if read is None else max(0, self.info.facts["entries-added"] - length - read)
