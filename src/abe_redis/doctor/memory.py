"""Checks of the server's memory: what happens when it is full, what uses it, and how to free it."""

from collections.abc import AsyncIterator, Iterator

from abe_redis.doctor.context import Context, Finding, fullness, ok, problem, warning
from abe_redis.inspection import remedies
from abe_redis.inspection.trimming import kept_by
from abe_redis.runtime.plurals import count
from abe_redis.runtime.shell import command, quoted
from abe_redis.schemas import GroupStats, StreamStats
from abe_redis.streams import ids

MOST_NAMED = 5
"""Streams that are named, the largest first."""

SHARE = 0.05
"""Part of maxmemory from which a stream, or its dead letters, are named: to free less helps nobody."""

type Advice = tuple[str, str, str]
"""A use of memory, the advice, and the command that frees the memory."""


async def eviction(context: Context) -> AsyncIterator[Finding]:
    """Whether a full server refuses writes, or removes events in silence."""
    policy = (await context.info())["maxmemory_policy"]
    if policy == "noeviction":
        yield ok("A full server refuses to write instead of removing events (maxmemory-policy noeviction).")
    else:
        yield problem(
            f"A full server removes keys in silence, events among them (maxmemory-policy {policy}).",
            "Set noeviction in the server's configuration, too, and send:",
            "CONFIG SET maxmemory-policy noeviction",
        )


async def memory(context: Context) -> AsyncIterator[Finding]:
    """How much of its memory the server uses."""
    info = await context.info()
    used, limit = int(info["used_memory"]), int(info["maxmemory"])
    if limit:
        finding = fullness(
            used / limit,
            f"{mebibytes(used)} of {mebibytes(limit)} used (maxmemory).",
            "Raise maxmemory, or free what is named below: a full server refuses events.",
        )
        context.max_bytes = limit
        context.is_nearly_full = finding.severity != "ok"
        yield finding
    elif context.settings.redis_url.startswith("embedded:"):
        yield ok(f"{mebibytes(used)} used; no maxmemory is set.")
    else:
        yield warning(
            f"{mebibytes(used)} used; no maxmemory is set, so a backlog may grow until the system ends the "
            "server, and no alert can come before.",
            "Set maxmemory in the server's configuration to what its machine can spare: it then refuses "
            "events in time, and what it has accepted is safe.",
        )


def start_worker(stream: str, group: GroupStats, *, is_disused: bool = False) -> str:
    """The advice about a group without a worker, before the command that starts one."""
    if not is_disused and not remedies.may_be_mistake(group):
        return "Start a worker:"
    why = "nobody needs the group any more" if is_disused else "the group is a mistake"
    return f"If {why}, {remedies.removal(stream, group.name)}. Else start a worker:"


def holders(
    stats: StreamStats, dead_letter_bytes: int | None, *, max_bytes: int, refuses_writes: bool = False
) -> Iterator[Advice]:
    """The uses of memory in a stream that matter.

    Args:
        stats: The stream.
        dead_letter_bytes: The memory of its dead letters; None when it is not known.
        max_bytes: The server's maxmemory; what holds a small share of it is left out.
        refuses_writes: Whether nothing shows that workers live.
    """
    if stats.length and _matters(stats.memory_bytes, max_bytes):
        yield from _of_stream(stats, refuses_writes=refuses_writes)
    if stats.dead_letters and _matters(dead_letter_bytes, max_bytes):
        size, letters = mebibytes(dead_letter_bytes), count(stats.dead_letters, "entry", "entries")
        found = f"The dead letters of {stats.stream!r} hold {size} in {letters}."
        look = command("dead summary", stats.stream)
        advice = f"`{look}` says what they are. Remove what nobody needs, by its age, reason or handler, as:"
        yield found, advice, command("dead purge", stats.stream, options="--older-than 7d")


def _matters(size: int | None, max_bytes: int) -> bool:
    return size is None or size >= SHARE * max_bytes


def _of_stream(stats: StreamStats, *, refuses_writes: bool) -> Iterator[Advice]:
    entries = count(stats.length, "entry", "entries")
    has = f"Stream {stats.stream!r} holds {mebibytes(stats.memory_bytes)} in {entries}"
    unfinished = [group for group in stats.groups if group.pending or group.lag]
    for group in unfinished:
        lag = "an unknown number" if group.lag is None else group.lag
        found = f"{has}; group {group.name!r} has {group.pending} pending and {lag} undelivered."
        kept = kept_by(stats, group)
        if kept is not None:
            found += f" {kept.found}"
        if refuses_writes and not group.workers:
            yield found, "What is finished is removed: look again when Redis takes writes.", ""
        elif not group.workers:
            yield found, start_worker(stats.stream, group), remedies.worker(group.name)
        elif kept is not None:
            yield found, kept.advice, ""
        else:
            yield found, "Add consumers, or make the handler faster: what is finished is removed.", ""
    if stats.groups and not unfinished:
        advice = "All of it is finished. Lower REDIS_STREAM_MAXLEN, and remove what is there now:"
        yield f"{has}.", advice, f"XTRIM {quoted(stats.stream)} MINID {_finished_before(stats.groups)}"
    elif not stats.groups:
        advice = "Start a worker, whose group then finishes it:"
        yield f"{has}, and no group reads it.", advice, remedies.WORKER


def _finished_before(groups: list[GroupStats]) -> str:
    """The first id that may be unfinished; nothing is pending, so each group has finished its last entry."""
    return min((group.last_delivered_id for group in groups), key=lambda one: ids.order(one.encode()))


def mebibytes(size: int | None) -> str:
    """A size for people."""
    return "an unknown amount" if size is None else f"{size / 2**20:.1f} MiB"
