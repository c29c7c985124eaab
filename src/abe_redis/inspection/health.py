"""What a stream's numbers mean: what is wrong, since when, and what to do."""

from abe_redis.schemas import GroupStats, Health, StreamStats
from abe_redis.settings import Settings
from abe_redis.streams import names
from abe_redis.streams.trim import is_over

BACKLOG_SECONDS = 60
"""An event that waits longer than this, with consumers alive, makes a backlog."""


def judge(stats: StreamStats, settings: Settings) -> tuple[Health, str]:
    """What is wrong, since when, and what to do; the worst thing first."""
    health: Health = "ok"
    said: list[str] = []
    if stats.length and not stats.groups:
        health = "unread"
        said.append(
            f"It has {stats.length} {'event' if stats.length == 1 else 'events'} and no group, so nobody "
            "reads it: start a consumer."
        )
    paused = [group for group in stats.groups if group.paused]
    waiting = [group for group in stats.groups if (group.pending or group.lag) and group not in paused]
    stalled = [group for group in waiting if not any(consumer.alive for consumer in group.consumers)]
    behind = [
        group
        for group in waiting
        if group not in stalled
        and (group.lag or 0) > 0
        and max(group.oldest_pending_seconds or 0, group.oldest_undelivered_seconds or 0) > BACKLOG_SECONDS
    ]
    if stalled:
        health = "stalled"
        said += [f"{_waiting(group)} and no consumer is alive: start one." for group in stalled]
    elif behind:
        health = "backlog"
        said += [f"{_waiting(group)}: add consumers or make the handler faster." for group in behind]
    elif waiting:
        health = "working"
        said += [f"{_waiting(group)}." for group in waiting]
    if any(group.pending or group.lag for group in paused):
        health = "paused" if health in {"ok", "working"} else health
    said += [f"{_waiting(group)} and is paused: resume it when it may go on." for group in paused]
    said += [said_of for group in waiting if (said_of := about_disuse(group, settings))]
    said += [
        f"Group {group.name!r} lost {group.lost} {'event' if group.lost == 1 else 'events'}: removed before "
        "it had finished with them."
        for group in stats.groups
        if group.lost
    ]
    if stats.dead_letters:
        health = "dead_letters" if health == "ok" else health
        letters = (
            "1 dead letter: read it"
            if stats.dead_letters == 1
            else f"{stats.dead_letters} dead letters: read them"
        )
        said.append(f"{letters} in {names.dead_letters(stats.stream)!r}, or with `abe-redis dead list`.")
    if is_over(stats.length, settings.redis_stream_maxlen) and (waiting or paused):
        said.append(f"The backlog keeps it above its bound of {settings.redis_stream_maxlen} entries.")
    return health, " ".join(said) or "Nothing is waiting."


def _waiting(group: GroupStats) -> str:
    lag = "an unknown number of" if group.lag is None else str(group.lag)
    return (
        f"Group {group.name!r} has {group.pending} pending{_since(group.oldest_pending_seconds)} and {lag} "
        f"not delivered yet{_since(group.oldest_undelivered_seconds)}"
    )


def _since(seconds: float | None) -> str:
    return "" if seconds is None else f" (the oldest published {duration(seconds)} ago)"


def duration(seconds: float) -> str:
    """A time as people say it: in seconds, minutes, hours or days."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


_DAY = 86_400


def about_disuse(group: GroupStats, settings: Settings) -> str | None:
    """What to say of a group that holds back trimming no longer, or soon will not; None if it does."""
    days, unused = settings.redis_stream_group_idle_days, group.unused_seconds
    if not days or unused is None or group.paused:
        return None
    left = days - unused / _DAY
    since = f"Nobody has used group {group.name!r} for {unused / _DAY:.1f} days"
    if left <= 0:
        return f"{since}, so trimming does not wait for it any more."
    if left <= min(1, days / 2):
        return f"{since}: in {left:.1f} days trimming will not wait for it any more."
    return None
