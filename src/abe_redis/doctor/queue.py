"""Checks of the queue: its streams, groups and consumers."""

from collections.abc import AsyncIterator, Iterator

from abe_redis.doctor import memory
from abe_redis.doctor.context import Context, Finding, Severity, ok, problem, warning
from abe_redis.inspection import remedies
from abe_redis.inspection.disuse import about_disuse
from abe_redis.inspection.health import examine, judge
from abe_redis.inspection.situation import About
from abe_redis.inspection.topic_groups import name_groups
from abe_redis.schemas import GroupStats, Health, StreamStats
from abe_redis.settings import Settings
from abe_redis.streams import key_types, names, peek, slots
from abe_redis.streams.trim import is_over

_SEVERITY: dict[Health, Severity] = {
    "ok": "ok",
    "working": "ok",
    "dead_letters": "warning",
    "unread": "warning",
    "backlog": "warning",
    "paused": "warning",
    "stalled": "problem",
}


_RISING: tuple[Severity, ...] = ("ok", "warning", "problem")


async def keys(context: Context) -> AsyncIterator[Finding]:
    """Whether each key that a pattern names is a stream, or does not exist yet."""
    group = context.settings.redis_stream_group
    others = await key_types.mistyped(context.redis, context.patterns.literals, group)
    for one in others:
        if one.key in context.patterns.literals:
            yield problem(
                f"The key {one.key!r} is a {one.kind}, not a stream: nothing can be published to it.",
                "Rename it, or choose another name in REDIS_STREAM_PATTERNS and SLACK_EVENTS_TOPIC.",
            )
        else:
            yield problem(one.sentence)
    if not others:
        yield ok("No key of another type has the name of a stream.")


async def streams(context: Context) -> AsyncIterator[Finding]:
    """Waiting and stuck events of each stream, and the consumers that hold them."""
    settings = context.settings
    is_any = False
    async for stats in context.streams():
        is_any = True
        await name_groups(context.redis, [stats], settings, context.patterns.match)
        if context.refuses_writes:
            stats.health, stats.advice = judge(stats, settings, refuses_writes=True)
        for finding in _judge(stats, settings, refuses_writes=context.refuses_writes):
            yield finding
        if stats.last_at is not None and stats.last_id_for_spent is None:
            ahead = stats.last_at.timestamp() - (await context.redis.time())[0]
            if ahead > _AHEAD_SECONDS:
                yield _set_back(stats.stream, ahead)
    if not is_any:
        yield ok(f"No stream exists yet that matches {context.patterns}.")


_AHEAD_SECONDS = 2.0


def _set_back(stream: str, seconds: float) -> Finding:
    return warning(
        f"The newest entry of {stream!r} is {seconds:.0f} s ahead of the server's clock, which was set back.",
        "Let a time service (NTP) slew the clock instead of stepping it. Events of dead workers go on "
        "after a lease, postponed events after their delay; ages are wrong until the clock has caught up.",
    )


def _judge(stats: StreamStats, settings: Settings, *, refuses_writes: bool) -> Iterator[Finding]:
    """The stream's health, a finding for each of several groups, and dangers for the queue."""
    maxlen = settings.redis_stream_maxlen
    _, about = examine(stats, settings, refuses_writes=refuses_writes)
    severity = _SEVERITY[stats.health]
    if severity == "ok" and stats.dead_letters:
        severity = "warning"
    found = f"Stream {stats.stream!r} with {_count(stats.length, 'entry', 'entries')}: "
    found += f"{stats.health.replace('_', ' ')}."
    groups = {group.name: group for group in stats.groups}
    each = {
        one.group: _of_group(one, groups[one.group], stats.stream, settings, refuses_writes=refuses_writes)
        for one in about
        if one.group is not None
    }
    if stats.health == "ok":
        yield Finding(severity=severity, found=found)
    elif len(each) <= 1:
        severity = max([severity, *(one.severity for one in each.values())], key=_RISING.index)
        said = [f"{one.found} {one.advice}".strip() for one in each.values()]
        said += [one.line for one in about if one.group is None]
        command = next((one.command for one in each.values()), "")
        yield Finding(severity=severity, found=found, advice=" ".join(said), command=command)
    else:
        own = " ".join(one.line for one in about if one.group is None)
        yield Finding(severity=severity, found=found, advice=own)
        yield from each.values()
    if is_over(stats.length, maxlen) and stats.groups:
        waiting = ", ".join(repr(group.name) for group in stats.groups if group.pending or group.lag)
        yield warning(
            f"Stream {stats.stream!r} is above its bound of {maxlen} entries (REDIS_STREAM_MAXLEN): "
            + (f"group {waiting} has not finished them." if waiting else "nobody has trimmed it."),
            "Make sure that the group catches up: unfinished work is not trimmed, nor what is behind it."
            if waiting
            else "The next event that is published or acknowledged there trims it.",
        )


def _of_group(
    about: About, group: GroupStats, stream: str, settings: Settings, *, refuses_writes: bool
) -> Finding:
    """What is said about a group, and how long it holds back trimming if nobody works for it."""
    severity = _SEVERITY[about.health] if about.health is not None else "warning"
    gone = [one for one in group.consumers if not one.alive and group.left_with(one)]
    if severity == "ok" and not all(one.kind == "person" for one in gone):
        severity = "warning"
    has_nobody = bool(group.pending or group.lag) and not (group.paused or group.workers or refuses_writes)
    if not has_nobody:
        return Finding(severity=severity, found=about.line)
    command = remedies.worker(group.name)
    if about_disuse(group, settings):
        advice = memory.start_worker(stream, group, is_disused=True)
        return Finding(severity=severity, found=about.line, advice=advice, command=command)
    days = settings.redis_stream_group_idle_days
    until = f" until it has been unused for {days:g} days" if days else ""
    found = f"{about.line} What it has not finished is not trimmed{until}."
    return Finding(severity=severity, found=found, command=command)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


_LOOKED_AT = 500_000
"""Number of keys that are searched."""


async def unread(context: Context) -> AsyncIterator[Finding]:
    """Whether events are published to a stream that nobody reads, as far as remembered ids show it."""
    published: set[str] = set()
    async for keys in slots.keys(context.redis, most=_LOOKED_AT, match="abe:seen:*", here=True):
        for key in keys:
            if stream := names.published_to(key.decode(errors="replace")):
                published.add(stream)
    stray = sorted(name for name in published if not context.patterns.match(name))
    # If it has a group, a consumer with other patterns reads it.
    stray = [
        name
        for name in stray
        if await peek.kind(context.redis, name) == "stream" and not await peek.groups(context.redis, name)
    ]
    for name in stray:
        yield warning(
            f"Events are published to {name!r}, which no pattern matches and no group reads.",
            f"Add it to REDIS_STREAM_PATTERNS (now {context.patterns}), or publish elsewhere.",
        )
    if not stray:
        yield ok("Nobody publishes to a stream that no pattern matches.")


async def holders(context: Context) -> AsyncIterator[Finding]:
    """The streams that hold the memory of a server that is nearly full, the largest first."""
    if not context.is_nearly_full:
        return
    found: list[tuple[int, StreamStats, int | None]] = []
    async for stats in context.streams():
        letters = names.dead_letters(stats.stream)
        dead = await context.redis.memory_usage(letters) if stats.dead_letters else 0
        found.append(((stats.memory_bytes or 0) + (dead or 0), stats, dead))
    found.sort(key=lambda one: -one[0])
    named = False
    for _, stats, dead in found[: memory.MOST_NAMED]:
        each = memory.holders(stats, dead, max_bytes=context.max_bytes, refuses_writes=context.refuses_writes)
        for said, advice, command in each:
            named = True
            yield warning(said, advice, command)
    if not named:
        yield warning(
            f"No stream and no dead letters hold {memory.SHARE:.0%} of maxmemory: other keys do, or it is "
            "small.",
            "Raise maxmemory, or look for large keys:",
            "redis-cli --bigkeys",
        )
