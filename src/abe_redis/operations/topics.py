"""A topic: the stream of its name, and its partitions, which are streams of their own.

Whoever looks at a topic sees them together. A change is made in one of them, and its answer names the others.
"""

from collections.abc import Callable, Iterable

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.client.optional_commands import is_refused
from abe_redis.runtime.plurals import count
from abe_redis.runtime.shell import command, option
from abe_redis.sanitize.untrusted import quoted
from abe_redis.schemas import GroupBrief
from abe_redis.streams import brief, dead, names, peek, slots
from abe_redis.streams.find_streams import announced, existing
from abe_redis.streams.patterns import Patterns

type ForPart = Callable[[str], str]
"""The command or the call that does in a partition what was asked of its topic, in a sentence."""

MOST_NAMED = 20
"""Partitions that a sentence names."""


def in_order(parts: Iterable[str]) -> list[str]:
    """Partitions in the order of their numbers."""
    return sorted(parts, key=lambda one: (len(one), one))


async def partitions(redis: Redis, patterns: Patterns, topic: str) -> list[str]:
    """The partitions that a topic has, had, or will have by the settings, beside its own stream."""

    async def look() -> list[str]:
        index = await announced(redis, 0) if slots.is_here(redis, names.INDEX) else {}
        return in_order(filter(patterns.match, names.parts_of(topic, {*index, *patterns.names})))

    return await slots.without_away(redis, look)


async def streams(redis: Redis, patterns: Patterns, topic: str) -> list[str]:
    """The existing streams of a topic: its own first, then its partitions, without those that are away."""
    kind = await peek.kind(redis, topic)
    parts = await _kinds(redis, await partitions(redis, patterns, topic))
    found = [topic] * (kind == "stream") + [one for one, of in parts.items() if of == "stream"]
    if found or kind != "none":
        return found
    return in_order(names.parts_of(topic, await existing(redis, patterns)))  # of other programs


async def with_unfinished(
    redis: Redis, parts: Iterable[str], group: str | None, *, idle_too: bool = True, lacking_too: bool = False
) -> dict[str, str]:
    """What each existing partition holds: its entries, or what a group has not finished there.

    Args:
        redis: The client.
        parts: The partitions.
        group: The group.
        idle_too: Also those where there is nothing of it.
        lacking_too: Also those that lack the group: a worker makes it there, at the beginning.
    """
    found = dict[str, str]()
    for part, kind in (await _kinds(redis, parts)).items():
        if kind == _HIDDEN:
            found[part] = kind
        elif kind == "stream":
            length, groups = await brief.brief(redis, part)
            if group is None:
                if length or idle_too:
                    found[part] = entries(length)
                continue
            of = next((one for one in groups if one.name == group), None)
            if of is None:
                if lacking_too and (length or idle_too):
                    found[part] = f"{entries(length)}, without the group"
            elif of.pending or of.lag != 0 or idle_too:
                found[part] = unfinished(of)
    return found


async def with_letters(redis: Redis, parts: Iterable[str]) -> dict[str, str]:
    """How many dead letters each of these partitions has that has any."""
    places = {names.dead_letters(one): one for one in parts}
    found = dict[str, str]()
    for place, kind in (await _kinds(redis, places)).items():
        if kind == _HIDDEN:
            found[places[place]] = kind
        elif kind == "stream" and (number := await dead.count(redis, places[place])):
            found[places[place]] = count(number, "dead letter")
    return found


_HIDDEN = "not shown to this user of Redis"


async def _kinds(redis: Redis, keys: Iterable[str]) -> dict[str, str]:
    """The types of keys, without those of servers that are away; `_HIDDEN` where this user may not look."""
    asked = list(keys)

    async def look() -> dict[str, str]:
        return await peek.kinds(redis, [one for one in asked if slots.is_here(redis, one)])

    try:
        return await slots.without_away(redis, look)
    except ResponseError as error:
        if not is_refused(error) or not asked:
            raise
    if len(asked) == 1:
        return {asked[0]: _HIDDEN}
    return {key: kind for one in asked for key, kind in (await _kinds(redis, [one])).items()}


async def having(redis: Redis, patterns: Patterns, topic: str, group: str) -> str:
    """A sentence on the partitions that have a group which the topic's own stream lacks, if any has."""
    found = await with_unfinished(redis, await partitions(redis, patterns, topic), group)
    return f" Partitions that have it: {listed(found)}." if found else ""


def of_event(entry_id: str, is_agents: bool) -> ForPart:  # noqa: FBT001 - of who asks
    """Instead of a command in a partition: what says which partition has an event."""
    ours = f"`{command('read', options=option('--event-id', entry_id))}`"
    look = f"read_stream(event_id={quoted(entry_id)})" if is_agents else ours
    return lambda _: f"{look} says which has the event"


def entries(number: int) -> str:
    """As in "3 entries"."""
    return count(number, "entry", "entries")


def unfinished(group: GroupBrief) -> str:
    """As in "3 pending, 2 not delivered"."""
    lag = "?" if group.lag is None else f"{group.lag}"
    return f"{group.pending} pending, {lag} not delivered"


def listed(holdings: dict[str, str]) -> str:
    """The partitions with what they hold, as in "'slack_events:p0' (3 entries)"."""
    some = list(holdings.items())[:MOST_NAMED]
    said = ", ".join(f"{part!r} ({holds})" if holds else repr(part) for part, holds in some)
    rest = len(holdings) - len(some)
    return f"{said} and {rest} more" if rest else said
