"""What an unfinished entry keeps from being trimmed: finished entries behind it stay, too."""

from dataclasses import dataclass

from abe_redis.runtime.plurals import duration
from abe_redis.runtime.shell import command, option
from abe_redis.schemas import GroupStats, StreamStats


@dataclass(frozen=True, slots=True)
class Kept:
    """Finished entries that stay because of one unfinished entry before them."""

    found: str
    """The sentence about it."""
    advice: str
    """What helps."""


def kept_by(stats: StreamStats, group: GroupStats) -> Kept | None:
    """The oldest unfinished entry of a group, if what it keeps outnumbers all that is unfinished.

    Only for the first entry of the stream: then nothing before it is left to trim, and the number is exact.
    """
    entry = group.oldest_pending
    if entry is None or entry != stats.first_id:
        return None
    unfinished = 0
    for one in stats.groups:
        if one.lag is None:
            return None
        unfinished += one.pending + one.lag
    finished = stats.length - unfinished
    if finished <= unfinished:
        return None
    at_least = "at least " if len(stats.groups) > 1 else ""  # what several groups have left is counted twice
    entries = "1 finished entry" if finished == 1 else f"{finished:,} finished entries"
    holder = next((one for one in group.consumers if one.holds == entry), None)
    of_group, look = option("--group", group.name), f"{option('--group', group.name)} --waiting"
    if holder is None:
        held = f" (`{command('read', stats.stream, options=look)}` shows where it is)"
        whose, restart = "--force", ""
    else:
        held = f", held by {holder.name!r} for {duration(holder.held_seconds or 0)},"
        whose = option("--consumer", holder.name)
        restart = "Restart that worker; or, i" if holder.kind == "worker" else ""
    ack = command("ack", stats.stream, entry, options=f"{of_group} {whose}")
    return Kept(
        f"Entry {entry}{held} keeps {at_least}{entries} behind it from being trimmed.",
        f"{restart or 'I'}f nobody needs that event any more, finish it: `{ack}`.",
    )


def first_kept(stats: StreamStats) -> Kept | None:
    """The same for a whole stream: that of the first group with such an entry."""
    return next((one for group in stats.groups if (one := kept_by(stats, group))), None)
