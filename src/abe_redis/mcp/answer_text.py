"""Results as compact text for a model."""

from abe_redis.mcp.event_text import whole
from abe_redis.runtime import plurals
from abe_redis.sanitize.untrusted import quoted
from abe_redis.schemas import (
    SEVERITY,
    Acked,
    AckResult,
    ConsumerStats,
    GroupStats,
    PublishResult,
    RedriveResult,
    Released,
    ReleaseResult,
    ServerMemory,
    StatsResult,
    StreamStats,
)
from abe_redis.streams import ids


def published(result: PublishResult) -> str:
    """The text for a `PublishResult`."""
    stream = quoted(result.stream)
    if result.waiting:
        return (
            f"Kept in the outbox as {result.id}. It is added to {stream} once Redis takes it. "
            f"{result.reason or ''}".rstrip()
        )
    if result.duplicate:
        return f"Already in {stream} as {result.id}; nothing was added."
    if result.new_stream:
        return (
            f"Added to {stream} as {result.id}. That is a new stream, which no group reads yet: check its "
            "name against those that stream_stats shows, and tell the user if it was not meant."
        )
    return f"Added to {stream} as {result.id}. To see it: read_stream(stream={whole(result.stream)})."


def acked(result: AckResult) -> str:
    """The text for an `AckResult`."""
    lines = []
    for one in (result, *result.also):
        which = f": {plurals.named(one.acked)}" if one.acked else ""
        done = f"{len(one.acked)} acknowledged in group {quoted(one.group)} of {quoted(one.stream)}{which}."
        lines.append(" ".join([done, *_others(one)]))
    return "\n".join(lines) + " " + _for_more(result.stream, result.group)


def released(result: ReleaseResult, *, bury: bool, delay_seconds: float) -> str:
    """The text for a `ReleaseResult`."""
    lines = []
    for one in (result, *result.also):
        where = f"in group {quoted(one.group)} of {quoted(one.stream)}"
        if bury:
            again = "; redrive brings them back" if one.buried else ""
            done = f"{len(one.buried)} moved to the dead letters {where}{again}."
        else:
            when = f"after {delay_seconds:g} s" if delay_seconds else "at once"
            waits = plurals.named(one.still_postponed) if one.still_postponed else ""
            comes = len(one.released) > len(one.still_postponed)
            again = f"; delivered again {when}{', but for those that wait' * bool(waits)}" if comes else ""
            done = f"{len(one.released)} given back {where}{again}."
            done += f" Waiting for the rest of their delay: {waits}." if waits else ""
        lines.append(" ".join([done, *_others(one)]))
    return "\n".join(lines) + " " + _for_more(result.stream, result.group)


def _for_more(stream: str, group: str) -> str:
    return f"For more: lease_events(stream={whole(stream)}, group={whole(group)})."


def _others(one: Acked | Released) -> list[str]:
    parts = []
    if one.not_held:
        parts.append(
            f"Not yours, left alone: {', '.join(one.not_held)}. To see who holds them: "
            f"read_stream(group={whole(one.group)}, pending=true)."
        )
    if one.free:
        parts.append(f"Not yours and left alone, as nobody holds them: {', '.join(one.free)}.")
    if one.unknown:
        parts.append(
            "Not pending (finished before, never delivered, or the group was reset): "
            f"{', '.join(one.unknown)}."
        )
    return parts


def redriven(result: RedriveResult, *, is_chosen: bool) -> str:
    """The text for a `RedriveResult`; it names all dead letters, unless some were chosen."""
    letters, stream = _count(result.redriven, "dead letter"), quoted(result.stream)
    there = f"To see what there is: read_stream(stream={whole(result.stream)}, dead=true)."
    unknown = f" No dead letter of it has the id {', '.join(result.unknown)}." if result.unknown else ""
    if result.refused:
        verb = "stays" if result.refused == 1 else "stay"
        unknown += f" {_count(result.refused, 'chosen one')} {verb}. {result.refusal}"
        there = ""
    if result.same_event:
        verb = "is" if result.same_event == 1 else "are"
        unknown += (
            f" {_count(result.same_event, 'chosen one')} {verb} left: a newer one of its event goes back."
        )
    unknown += f" {result.note}" if result.note else ""
    groups = ", ".join(f"{count} to group {quoted(group)}" for group, count in result.groups.items())
    where = f" ({groups})" if groups else ""
    if result.dry_run:
        every = "" if is_chosen else "all=true, "
        again = (
            f"To do it: call again with {every}dry_run=false and confirm=true, once the user has agreed."
            if result.redriven
            else there
        )
        would = f"{letters} of {stream} would be delivered again{where}."
        return f"{would} Nothing was changed.{unknown} {again}".rstrip()
    if not result.redriven:
        chosen = "" if result.refused else f": no dead letter of {stream} was chosen"
        return f"Nothing was delivered again{chosen}.{unknown} {there}".rstrip()
    verb = "is" if result.redriven == 1 else "are"
    return (
        f"{letters} of {stream} {verb} delivered again{where}; {result.left} left.{unknown} "
        f"To see the result: stream_stats(stream={whole(result.stream)})."
    )


def stats(result: StatsResult, *, hint: str = "") -> str:
    """The text for a `StatsResult`: problems of the server, and a line or two per stream, the worst first.

    Args:
        result: The state; it may have been shortened.
        hint: The next step, as `next_step` finds it in all of the result.
    """
    lines = _stats(result, hint)
    shortened = next((one.stream for one in result.streams if one.advice.endswith("…")), None)
    if shortened is not None and not result.omitted:
        name = "NAME" if shortened.endswith("…") else whole(shortened)
        lines.append(f"What ends with … is shortened: stream_stats(stream={name}) shows all of it.")
    return "\n".join([*lines, *_memory(result)])


def next_step(result: StatsResult) -> str:
    """The call that lists what waits in the worst stream in which something does; empty if there is none."""
    return next((_how_to_list(one) for one in result.streams if _is_waiting(one)), "")


def _stats(result: StatsResult, hint: str) -> list[str]:
    every = len(result.streams) + result.omitted
    lines = [f"Problem: {one}" for one in result.problems]
    if not every:
        lines.append(" ".join(["No stream exists yet: nothing was published.", *outbox(result)]))
        return lines
    if every > 1:
        found = result.health
        shown = ", ".join(f"{found[health]} {health}" for health in SEVERITY if health in found)
        lines.append(f"{every} streams: {shown}.")
    lines += [_stream(one) for one in result.streams]
    lines += [step] if (step := hint or next_step(result)) else []
    for health, names in result.names.items():
        lines.append(f"Also {health}: {', '.join(map(quoted, names))}.")
    if result.omitted:
        lines.append(f"{result.omitted} have no line here; stream_stats(stream=NAME) shows one in full.")
    return [*lines, *outbox(result)]


def _memory(result: StatsResult) -> list[str]:
    """How full the fullest server is, where it is known."""
    fullest = max(result.memory, key=_fullness, default=None)
    if fullest is None:
        return []
    part = f", {_fullness(fullest):.0%} of its maxmemory" if fullest.max_bytes else "; no maxmemory is set"
    return [f"Redis uses {fullest.used_bytes / _MEBIBYTE:.1f} MiB of memory{part}."]


_MEBIBYTE = 2**20


def _fullness(memory: ServerMemory) -> float:
    return memory.used_bytes / memory.max_bytes if memory.max_bytes else 0.0


_MOST_GROUPS, _MOST_CONSUMERS = 20, 20


def one_stream(result: StatsResult, *, hint: str = "") -> str:
    """The text about one stream: what is wrong with it, and its groups with their consumers."""
    lines = _stats(result, hint)
    of_several = len(result.streams) > 1  # a topic's own stream and its partitions
    every = [(one.stream, group) for one in result.streams for group in one.groups]
    for stream, group in every[:_MOST_GROUPS]:
        where = f" of {quoted(stream)}" if of_several else ""
        facts = [
            f"{group.pending:,} pending" + (f" ({group.postponed:,} postponed)" if group.postponed else ""),
            f"{'?' if group.lag is None else f'{group.lag:,}'} not delivered",
        ]
        facts += [f"{group.lost:,} lost"] * bool(group.lost) + ["paused"] * group.paused
        facts += ["destroyed by somebody"] * group.destroyed
        if group.pending_by_age:
            ages = ", ".join(
                f"{count} {age.replace('_', ' ')}" for age, count in group.pending_by_age.items()
            )
            facts.append(f"pending by age: {ages}")
        lines.append(f"Group {quoted(group.name)}{where}: {'; '.join(facts)}.")
        lines += [_consumer(one, group) for one in group.consumers[:_MOST_CONSUMERS]]
        number, postponed = group.nobodys
        lines += [f"  Held by nobody: {plurals.pending(number, postponed)}."] * bool(number)
        if more := len(group.consumers) - _MOST_CONSUMERS:
            lines += [f"  {more} consumers more."] * (more > 0)
    if (more := len(every) - _MOST_GROUPS) > 0:
        lines.append(f"{plurals.count(more, 'group')} more.")
    return "\n".join(lines)


def _consumer(one: ConsumerStats, group: GroupStats) -> str:
    held = group.held_by(one)
    left = group.left_with(one)
    waits = f"; {one.pending - left:,} of it postponed, held by nobody" if one.pending > left else ""
    holds = f", {one.holds} for {one.held_seconds or 0:.0f} s" if one.holds and not one.lease_over else ""
    if one.ended:
        return f"  Consumer {quoted(one.name)}: ended, left {left:,} to live consumers{waits}."
    had = f", as {one.holds}" if one.lease_over else ""
    waits = f"; {left - held:,} of it free for the next consumer{had}{waits}" if left > held else waits
    alive = "takes no events" if one.full else "alive"
    state = alive if one.alive else f"silent for {plurals.duration(one.idle_seconds)}"
    return f"  Consumer {quoted(one.name)}: {state}, holds {held:,}{holds}{waits}."


def _stream(one: StreamStats) -> str:
    """The sentences about what is wrong with a stream, and what to do about it."""
    letters = f", {_count(one.dead_letters, 'dead letter')}" if one.dead_letters else ""
    entries = _count(one.length, "entry", "entries")
    advice = [" ".join(line.split()) for line in one.advice.splitlines()]
    said = f"{quoted(one.stream)}: {one.health}, {entries}{letters}."
    said += f" {advice[0]}" if len(advice) == 1 else "".join(f"\n- {line}" for line in advice)
    waiting = [(group.oldest_waiting, group.name) for group in one.groups if group.oldest_waiting]
    oldest = ", ".join(f"{entry_id} in group {quoted(name)}" for entry_id, name in waiting[:_MOST_OLDEST])
    more = len(waiting) - _MOST_OLDEST
    oldest += f", and in {plurals.count(more, 'group')} more" if more > 0 else ""
    between = "\n" if len(advice) > 1 else " "
    return f"{said}{between}Oldest waiting: {oldest}." if oldest else said


_MOST_OLDEST = 3
"""Groups of a stream whose oldest waiting event is named."""


def _is_waiting(one: StreamStats) -> bool:
    return one.health == "unread" or any(group.oldest_waiting for group in one.groups)


def _how_to_list(one: StreamStats) -> str:
    """The call that lists what waits in a stream, for the group that is the furthest behind."""
    waiting = [(ids.order(found.oldest_waiting), found.name) for found in one.groups if found.oldest_waiting]
    group = f", group={whole(min(waiting)[1])}" if waiting else ""
    return f"To list what waits: read_stream(stream={whole(one.stream)}{group}, waiting=true)."


def outbox(result: StatsResult) -> list[str]:
    """A sentence on the outbox, if there is one."""
    if result.outbox is None:
        return []
    if result.outbox.trouble:
        return [result.outbox.trouble]
    refused = f" and {result.outbox.refused} that Redis refused" if result.outbox.refused else ""
    oldest = plurals.duration(result.outbox.oldest_waiting_seconds)
    age = f", the oldest for {oldest}" if result.outbox.waiting else ""
    return [f"This machine's outbox holds {result.outbox.waiting} events that wait for Redis{age}{refused}."]


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
