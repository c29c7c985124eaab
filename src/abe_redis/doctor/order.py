"""Checks of the order of conversations: what breaks it in a group whose workers are ordered."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from redis.asyncio import Redis

from abe_redis.doctor.context import Context, Finding, ok, warning
from abe_redis.runtime import plurals
from abe_redis.runtime.plurals import some_of
from abe_redis.runtime.shell import command
from abe_redis.schemas import GroupStats, StreamStats
from abe_redis.streams import ids, names, slots
from abe_redis.streams.owners import Owner

_LOOKED_AT = 500_000
"""Number of keys among which ordered consumers are searched that own no stream."""
_AT_ONCE = 500
"""Owners that one round trip asks for."""
_MOST_NAMED = 3
_LATELY_SECONDS = 300
"""Two streams that both got events within this time have publishers of their own."""


async def order(context: Context) -> AsyncIterator[Finding]:
    """Whether a group mixes ordered and unordered workers, and a topic two numbers of partitions."""
    found = False
    streams = [stats async for stats in context.streams()]
    owners = await _owners(context.redis, streams)
    async for finding in _mixed(context.redis, streams, owners):
        found = True
        yield finding
    for finding in _generations(streams, owners, context.settings.redis_stream_partitions):
        found = True
        yield finding
    if owners and not found:
        yield _nothing_found(streams, owners, context.settings.redis_stream_partitions)


def _nothing_found(streams: Iterable[StreamStats], owners: "_Owners", partitions: int) -> Finding:
    """That nothing breaks the order; or that nobody can know, since the numbers of publishers do not show."""
    ordered = {group for _, group in owners}
    # Nobody owns a stream whose group was paused before a worker found it.
    read = [stats.stream for stats in streams if any(group.name in ordered for group in stats.groups)]
    spread = {topic for stream in read if (topic := names.topic_of(stream))}
    if partitions > 1:
        spread |= {stream for stream in read if not names.topic_of(stream)}
    if not spread:
        return ok("In groups of ordered workers, nothing breaks the order of a conversation.")
    return ok(
        "In groups of ordered workers, nothing was found that breaks the order of a conversation. Streams do "
        f"not show whether all publishers of {some_of(spread, _MOST_NAMED)} have the same "
        "REDIS_STREAM_PARTITIONS, without which it is not kept."
    )


type _Owners = dict[tuple[str, str], str]
"""The owner of each stream in each group that has ordered consumers, by the names of both."""


async def _owners(redis: Redis, streams: Iterable[StreamStats]) -> _Owners:
    """Read without the script of the owners, which corrects the life of their keys: the doctor only looks."""
    places = [(stats.stream, group.name) for stats in streams for group in stats.groups]
    found: _Owners = {}
    for first in range(0, len(places), _AT_ONCE):
        some = places[first : first + _AT_ONCE]
        pipeline = redis.pipeline(transaction=False)
        for stream, group in some:
            pipeline.get(names.owner(stream, group))
        tokens = await pipeline.execute()
        found |= {
            place: Owner.consumer_of(token.decode(errors="replace"))
            for place, token in zip(some, tokens, strict=True)
            if token
        }
    return found


async def _mixed(redis: Redis, streams: Iterable[StreamStats], owners: _Owners) -> AsyncIterator[Finding]:
    """The groups in which unordered consumers are alive beside ordered ones."""
    ordered: defaultdict[str, set[str]] = defaultdict(set)
    for (_, name), consumer in owners.items():
        ordered[name].add(consumer)
    candidates: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for stats in streams:
        for group in stats.groups:
            if (stats.stream, group.name) in owners:
                for one in group.workers:
                    if one.name not in ordered[group.name] and one.kind == "worker":
                        candidates[group.name].setdefault(one.name, stats.stream)
    for name, where in candidates.items():
        members = await _members(redis, name)
        if unordered := sorted(where.keys() - members):
            one_kind, other = (some_of(kind, _MOST_NAMED) for kind in (ordered[name] | members, unordered))
            yield warning(
                f"Group {name!r} of {where[unordered[0]]!r} has ordered consumers ({one_kind}) and unordered "
                f"ones ({other}) side by side: "
                "events of one conversation may be handled at the same time, or out of order.",
                "Run all workers of the group with --ordered (consume_ordered), or none: stop those of the "
                "other kind.",
            )


async def _members(redis: Redis, group: str) -> set[str]:
    """The ordered consumers of a group, whatever streams they share."""
    found = set[str]()
    async for keys in slots.keys(redis, most=_LOOKED_AT, match="abe:members:*", here=True):
        for key in keys:
            if key.decode(errors="replace").split(":", 3)[3:] == [group]:
                tokens: Any = await redis.zrange(key, 0, -1)
                found.update(Owner.consumer_of(token.decode(errors="replace")) for token in tokens)
    return found


def _generations(streams: Iterable[StreamStats], owners: _Owners, partitions: int) -> Iterator[Finding]:
    """The topics whose events are, or lately were, in streams of different numbers of partitions."""
    ordered = {group for _, group in owners}
    topics: defaultdict[str, list[StreamStats]] = defaultdict(list)
    for stats in streams:
        topics[names.topic_of(stats.stream) or stats.stream].append(stats)
    for topic, parts in topics.items():
        outside = [one for one in parts if _is_outside(topic, one.stream, partitions)]
        inside = [one for one in parts if one not in outside]
        if outside and inside:
            yield from _unfinished(topic, outside, inside, ordered, partitions)
            yield from _two_publishers(topic, outside, inside, ordered, partitions)


def _is_outside(topic: str, stream: str, partitions: int) -> bool:
    """Whether a publisher with this number of partitions writes no event of the topic to the stream.

    This process may know nothing of partitions that all publishers use.
    """
    if stream == topic:
        return True
    return partitions > 1 and int(stream.removeprefix(f"{topic}:p")) >= partitions


def _unfinished(
    topic: str, outside: list[StreamStats], inside: list[StreamStats], ordered: set[str], partitions: int
) -> Iterator[Finding]:
    for name in sorted(ordered):
        old, new = (
            [stats for stats in part if (group := _group(stats, name)) and _has_work(group)]
            for part in (outside, inside)
        )
        if not (old and new):
            continue
        found = (
            f"Topic {topic!r} has events that the ordered group {name!r} has not finished in streams of "
            f"different numbers of partitions: {_streams(old)} and {_streams(new)}. The order of a "
            "conversation whose events are in both is not kept."
        )
        next_time = "Next time let the queue run empty before you change REDIS_STREAM_PARTITIONS."
        if _are_older(new, old, name):
            old, new = new, old
        if _are_older(old, new, name):
            if unpaused := [stats for stats in new if not _is_paused(stats, name)]:
                yield warning(
                    found,
                    f"To keep it, pause the group in the newer streams ({_streams(unpaused)}) until "
                    f"{_streams(old)} has nothing unfinished, then resume it. {next_time}",
                    command("group pause", unpaused[0].stream, name),
                )
        elif not any(all(_is_paused(stats, name) for stats in part) for part in (old, new)):
            yield warning(
                f"{found} Which of them hold the older events does not show.",
                f"{_without_publisher(old, partitions)} To keep the order, pause the group where events are "
                f"still published until the others have nothing unfinished, then resume it. {next_time}",
            )


def _without_publisher(outside: list[StreamStats], partitions: int) -> str:
    """What would be known of the older streams, if the publishers had the number that the doctor has."""
    are_older = "Streams to which nobody publishes any more hold the older events."
    if partitions == 1:
        return are_older
    return (
        f"{are_older} These are {_streams(outside)} if all publishers now have REDIS_STREAM_PARTITIONS="
        f"{partitions}, as the doctor has."
    )


def _two_publishers(
    topic: str, outside: list[StreamStats], inside: list[StreamStats], ordered: set[str], partitions: int
) -> Iterator[Finding]:
    groups = sorted({group.name for stats in (*outside, *inside) for group in stats.groups} & ordered)
    ends = [[one.last_at for one in part if one.last_at] for part in (outside, inside)]
    begins = [[one.first_at for one in part if one.first_at] for part in (outside, inside)]
    if not (groups and all(ends) and all(begins)):
        return
    first, last = (min(max(times) for times in ends), max(max(times) for times in ends))
    begun = max(min(times) for times in begins)  # when the events of the later number of partitions begin
    if begun < first and (last - first).total_seconds() < _LATELY_SECONDS:
        is_sure = all(one.stream == topic for one in outside)
        doubt = (
            ""
            if is_sure
            else f" Or they all have another number than the doctor, which has {partitions}, or have changed "
            f"it within the last {plurals.duration(_LATELY_SECONDS)}."
        )
        yield warning(
            f"Events of {topic!r} are published to streams of different numbers of partitions: "
            f"{_streams(outside)} and {_streams(inside)}. The ordered group {groups[0]!r} does not keep the "
            f"order of a conversation across them.{doubt}",
            "Give all publishers the same REDIS_STREAM_PARTITIONS (and the doctor, too), and start those "
            "again that have another.",
        )


def _group(stats: StreamStats, name: str) -> GroupStats | None:
    return next((group for group in stats.groups if group.name == name), None)


def _has_work(group: GroupStats) -> bool:
    return group.oldest_waiting is not None


def _is_paused(stats: StreamStats, name: str) -> bool:
    group = _group(stats, name)
    return group is not None and group.paused


def _are_older(old: Iterable[StreamStats], new: Iterable[StreamStats], name: str) -> bool:
    """Whether all events of some streams came before all that a group has not finished in others."""
    ends = [one.last_at for one in old]
    begins = [
        ids.moment(group.oldest_waiting)
        for stats in new
        if (group := _group(stats, name)) and group.oldest_waiting
    ]
    return all(end is not None and end < min(begins) for end in ends)


def _streams(streams: Iterable[StreamStats]) -> str:
    return some_of((one.stream for one in streams), _MOST_NAMED)
