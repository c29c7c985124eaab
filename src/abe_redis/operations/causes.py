"""Problems of the server or of keys, rather than of a stream: each is a sentence with its remedy."""

import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from abe_redis.client import failures
from abe_redis.client.optional_commands import is_refused
from abe_redis.client.passing_states import is_full
from abe_redis.inspection.health import judge
from abe_redis.inspection.memory import of_servers
from abe_redis.operations import audit
from abe_redis.operations.scope import Scope
from abe_redis.runtime.plurals import duration
from abe_redis.schemas import ServerMemory, StreamStats
from abe_redis.streams import key_types, names, slots

type Look = Callable[[Redis, Scope, Sequence[StreamStats]], Awaitable[list[str]]]

NEARLY_FULL = 0.9
"""The used part of a server's memory from which it is reported."""

_AHEAD_SECONDS = 2.0
_RECENT = timedelta(hours=1)
_LOOKED_AT = 50
"""Most streams, and most changes in the audit, that are examined."""


async def find(
    scope: Scope, streams: Sequence[StreamStats], servers: Sequence[ServerMemory] = ()
) -> list[str]:
    """The causes, the worst first; checks that this user may not run are left out.

    Args:
        scope: What the caller may see.
        streams: The streams that it sees; they are judged anew if the server takes no writes, and their
            advice names groups that were made again lately.
        servers: The memory of the servers.

    Raises:
        AbeRedisError: The server could not be reached.
    """
    found = []
    async with scope.redis("looking at the server") as redis:
        found += _away(redis)
        found += await _look(_writing, redis, scope, streams)
        found += _of_memory(servers)
        for look in (_persistence, _types, _clock, _restored):
            found += await _look(look, redis, scope, streams)
    return found


async def _look(look: Look, redis: Redis, scope: Scope, streams: Sequence[StreamStats]) -> list[str]:
    """The findings of one check; one that this user may not run is not tried again."""
    if look.__name__ in scope.refused:
        return []
    try:
        return await look(redis, scope, streams)
    except ResponseError as error:
        if not is_refused(error):
            raise
        scope.refused.add(look.__name__)
        return []
    except failures.FAILURES:
        if slots.outage(redis) is None:
            raise
        return []  # what it looks at is away


def _away(redis: Redis) -> list[str]:
    """Nodes of a cluster that are away, whose streams are therefore not shown."""
    outage = slots.outage(redis)
    return [
        f"The streams of {node} of the cluster wait, and are not shown, until it or another one in its place "
        f"answers ({said.rstrip('.')}). Start it, or see its log."
        for node, said in ({} if outage is None else outage.reasons).items()
    ]


async def _writing(redis: Redis, scope: Scope, streams: Sequence[StreamStats]) -> list[str]:
    """Whether the server takes writes; this one, of a key that is not there, changes nothing.

    If it takes none, the streams are judged anew: the workers are not the cause. Not if it has no memory
    left: then they read, ack and give signs of life all the same.
    """
    (stream, *__) = scope.patterns.literals or (scope.settings.slack_events_topic,)
    try:
        await redis.set(names.in_slot_of(f"abe:probe:{os.urandom(8).hex()}:", stream), "", xx=True)
    except RedisError as error:
        if not failures.passes(error) or not isinstance(error, ResponseError):
            raise
        for one in () if is_full(error) else streams:
            one.health, one.advice = judge(one, scope.settings, refuses_writes=True)
        return [str(failures.explain(error, scope.settings, doing="publishing"))]
    return []


async def memory(redis: Redis, scope: Scope) -> list[ServerMemory]:
    """The memory of each server that has keys; a user who may not see it asks once."""
    if "memory" in scope.refused:
        return []
    found = await of_servers(redis, scope.settings)
    if not found:
        scope.refused.add("memory")
    return found


def _of_memory(servers: Sequence[ServerMemory]) -> list[str]:
    found = []
    for one in servers:
        if not one.max_bytes or one.used_bytes < NEARLY_FULL * one.max_bytes:
            continue
        then = (
            "refuses events when it is full"
            if one.policy in {None, "noeviction"}
            else f"removes events in silence when it is full (maxmemory-policy {one.policy})"
        )
        found.append(
            f"Redis {one.server} uses {one.used_bytes / one.max_bytes:.0%} of its memory (maxmemory), and "
            f"{then}. `abe-redis doctor` names what holds memory, and what frees it."
        )
    return found


_SAVED = {
    "rdb_last_bgsave_status": "The last snapshot (RDB)",
    "aof_last_write_status": "The last write to the append-only file",
    "aof_last_bgrewrite_status": "The last rewrite of the append-only file",
}
"""By field of INFO, what a server has saved on its disk."""


async def _persistence(redis: Redis, scope: Scope, _: Sequence[StreamStats]) -> list[str]:
    """What the servers could not save; a restart would lose it, and they may soon refuse writes."""
    found = []
    for server in slots.servers(redis, here=True):
        info = await server.info("persistence")
        found += [
            f"{what} of Redis {slots.place(server) or scope.settings.redis_url} failed: a restart may lose "
            "events, and Redis may refuse writes. See its log, and whether its disk is full."
            for field, what in _SAVED.items()
            if info.get(field, "ok") != "ok"
        ]
    return found


async def _types(redis: Redis, scope: Scope, streams: Sequence[StreamStats]) -> list[str]:
    known = dict.fromkeys([*scope.patterns.literals, *(one.stream for one in streams[:_LOOKED_AT])])
    found = await key_types.mistyped(redis, known, scope.settings.redis_stream_group)
    return [one.sentence for one in found]


async def _clock(redis: Redis, _: Scope, streams: Sequence[StreamStats]) -> list[str]:
    last = max((one.last_at for one in streams if one.last_at), default=None)
    if last is None:
        return []
    ahead = last.timestamp() - (await redis.time())[0]
    if ahead <= _AHEAD_SECONDS:
        return []
    said = (
        f"The newest event is {duration(ahead)} ahead of the server's clock, which was set back: ages are "
        "wrong until it has caught up. Let a time service (NTP) slew the clock instead of stepping it."
    )
    return [said]


async def _restored(redis: Redis, _: Scope, streams: Sequence[StreamStats]) -> list[str]:
    """Groups that somebody destroyed and consumers made again lately: no problem of now, so it answers none.

    Their streams' advice says it, since it explains why events came again.
    """
    since = datetime.now(UTC) - _RECENT
    of, told = {one.stream: one for one in streams}, set[tuple[object, object]]()
    for one in await audit.last(redis, _LOOKED_AT):
        stream, group = one.facts.get("stream"), one.facts.get("group")
        stats = of.get(str(stream))
        if one.origin != "consumer" or one.at < since or stats is None or (stream, group) in told:
            continue
        told.add((stream, group))
        stats.advice += (
            f"\nGroup {group!r} was made again at {one.at:%H:%M:%S} UTC, where it had finished, after "
            "somebody had destroyed it; some events may have come again: see `abe-redis audit`."
        )
    return []
