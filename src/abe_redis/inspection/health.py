"""The health of a stream, from its numbers: what is wrong, since when, and what to do."""

from collections.abc import Sequence

from abe_redis.inspection import holders, remedies
from abe_redis.inspection.disuse import about_disuse
from abe_redis.inspection.refusals import full, spent
from abe_redis.inspection.situation import (
    BACKLOG_SECONDS,
    About,
    Said,
    Situation,
    Verdict,
    gather,
    has_undelivered,
    has_work,
)
from abe_redis.inspection.trimming import first_kept
from abe_redis.runtime.plurals import duration, first_of
from abe_redis.runtime.shell import command, option
from abe_redis.schemas import GroupStats, Health, StreamStats
from abe_redis.schemas.stats import AGENTS
from abe_redis.settings import Settings
from abe_redis.streams.trim import is_over

UNKNOWN_LAG = (
    "some behind its place were removed, and too many are left to count: Redis knows the number again when "
    "the group has been given as far as the last removed one"
)
"""Why it is not known how many events a group has not been given yet."""

NOTHING = "Nothing is waiting."
"""The advice about a stream of which nothing else is to be said."""

MOST_NAMED = 3
"""Consumers of a group that are named in a kind of advice."""


def unread(at: Situation) -> Verdict:
    """Events, and no group."""
    length = at.stats.length
    if not length or at.stats.groups:
        return Verdict()
    events = "1 event" if length == 1 else f"{length} events"
    start = f"start a worker: {_first_worker(at.stats.topic_groups)}"
    said = [Said(f"It has {events} and no group, so nobody reads it: {start}.")]
    settings = at.settings
    is_kept = at.stats.full_at is None and not settings.redis_stream_trim_unread
    if is_kept and is_over(length, settings.redis_stream_maxlen):
        until = f"at {settings.redis_stream_hard_maxlen} entries (REDIS_STREAM_HARD_MAXLEN)"
        said.append(Said(f"All is kept until then; {until} publishing is refused."))
    return Verdict("unread", said)


def beyond_end(at: Situation) -> Verdict:
    """Groups that skip every event, since somebody set them beyond the stream's end."""
    found = [group for group in at.stats.groups if group.beyond_end]
    said = [Said(_beyond_end(group, at.stats.stream), group.name) for group in found]
    return Verdict("stalled", said) if said else Verdict()


def stalled(at: Situation) -> Verdict:
    """Groups with work and without a consumer."""
    said = [
        Said(
            _destroyed(group, at.stats.stream)
            if group.destroyed
            else f"{_waiting(group)} and {_missing(group)}: {_start(group, at.stats.stream)}.",
            group.name,
        )
        for group in at.stalled
    ]
    return Verdict("stalled", said) if said else Verdict()


def hung(at: Situation) -> Verdict:
    """Workers that take no events, since functions beyond their limit hold all their places."""
    if at.refuses_writes:
        return Verdict()
    said = [
        Said(
            f"Consumer {one.name!r} of group {group.name!r} takes no events: functions beyond their limit "
            f"hold all its places{holders.longest(one)}. See where they wait, give that a limit of its own, "
            "and restart that worker: others then handle its events.",
            group.name,
        )
        for group in at.waiting
        for one in group.workers
        if one.full
    ]
    stand_still = any(all(one.full for one in group.workers) for group in at.waiting if group.workers)
    return Verdict("stalled" if stand_still else None, said)


def backlog(at: Situation) -> Verdict:
    """Groups that do not keep up, whatever is wrong with others.

    A stuck consumer is reported by `stuck` or `silent` instead, since more consumers would not help.
    """
    more = ": add consumers or make the handler faster"
    said = [
        Said(f"{_waiting(group)}{'' if _is_held_up(group, at) else more}.{_unknown(group, at)}", group.name)
        for group in at.behind
    ]
    return Verdict("backlog", said) if said else Verdict()


def paused(at: Situation) -> Verdict:
    """Paused groups, which count only while they have work."""
    said = [
        Said(
            f"{_waiting(group)} and is paused: resume it when it may go on "
            f"(`{command('group resume', at.stats.stream, group.name)}`).",
            group.name,
        )
        for group in at.paused
    ]
    return Verdict("paused" if any(map(has_work, at.paused)) else None, said)


def working(at: Situation) -> Verdict:
    """Working groups; not reported while others have no consumer or do not keep up."""
    said = [Said(f"{_waiting(group)}.{_unknown(group, at)}", group.name) for group in at.waiting]
    return Verdict("working", said) if said and not (at.stalled or at.behind) else Verdict()


def retrying(at: Situation) -> Verdict:
    """Events that wait for a retry, so that nobody holds them."""
    said = []
    for group in at.waiting:
        if group.postponed:
            waiting = f"{option('--group', group.name)} --waiting"
            events = "1 event waits" if group.postponed == 1 else f"{group.postponed} events wait"
            why = f"`{command('read', at.stats.stream, options=waiting)}` says why"
            said.append(Said(f"{events} in group {group.name!r} for a retry or a delay: {why}.", group.name))
    return Verdict(said=said)


def stuck(at: Situation) -> Verdict:
    """Workers and agents that are alive and have held an event for longer than a lease, the longest first."""
    said = list[Said]()
    for group in at.waiting:
        found = [one for one in holders.stuck(group, at.settings) if one.alive and not one.full]
        said += [Said(holders.about_stuck(one, group), group.name) for one in found[:MOST_NAMED]]
        if len(found) > MOST_NAMED:
            more = f"{len(found) - MOST_NAMED} more consumers of it hold events beyond a lease, too."
            said.append(Said(more, group.name))
    return Verdict(said=said)


def silent(at: Situation) -> Verdict:
    """Consumers with events that ask for nothing, and people with events whose lease is over."""
    if at.refuses_writes:
        return Verdict()
    return Verdict(
        said=[
            Said(holders.about_silent(one, group, at.stats.stream), group.name)
            for group in at.waiting
            for one in group.consumers
            if holders.is_silent(one, group, at.settings)
        ]
    )


def disused(at: Situation) -> Verdict:
    """Groups with work that no longer hold back trimming, or soon will not."""
    found = [(about_disuse(group, at.settings), group.name) for group in at.waiting]
    return Verdict(said=[Said(words, group) for words, group in found if words])


def lost(at: Situation) -> Verdict:
    """Events that were removed before a group had finished them, or before any had read them."""
    said = []
    for group in at.stats.groups:
        if group.lost:
            events = "1 event" if group.lost == 1 else f"{group.lost} events"
            how = "removed, or dropped with a consumer, before it had finished with them"
            said.append(Said(f"Group {group.name!r} lost {events}: {how}.", group.name))
    if count := at.stats.lost_unread:
        events = "1 event was" if count == 1 else f"{count} events were"
        said.append(Said(f"{events} removed before any group had read them (REDIS_STREAM_TRIM_UNREAD)."))
    return Verdict(said=said)


def dead_letters(at: Situation) -> Verdict:
    """Events that a group gave up on."""
    count = at.stats.dead_letters
    if not count:
        return Verdict()
    letters = "1 dead letter: read it" if count == 1 else f"{count} dead letters: read them"
    said = f"{letters} with `{command('dead list', at.stats.stream)}`."
    return Verdict("dead_letters", [Said(said)])


def above_bound(at: Situation) -> Verdict:
    """Unfinished work that keeps the stream above its bound."""
    bound = at.settings.redis_stream_maxlen
    if not is_over(at.stats.length, bound) or not (at.waiting or at.paused):
        return Verdict()
    if kept := first_kept(at.stats):
        return Verdict(said=[Said(f"It is above its bound of {bound} entries. {kept.found} {kept.advice}")])
    return Verdict(said=[Said(f"The backlog keeps it above its bound of {bound} entries.")])


RULES = (
    *(spent, full, beyond_end, unread, stalled, hung, backlog, paused, working, retrying, stuck),
    *(silent, disused, lost, dead_letters, above_bound),
)
"""The worst first: a stream's health is that of the first rule with a finding."""


def examine(
    stats: StreamStats, settings: Settings, *, refuses_writes: bool = False
) -> tuple[Health, list[About]]:
    """A stream's health; and of each group and the stream, what is wrong, since when, and what to do."""
    situation = Situation(stats, settings, refuses_writes)
    verdicts = [rule(situation) for rule in RULES]
    health: Health = next((one.health for one in verdicts if one.health), "ok")
    return health, gather(verdicts)


def judge(stats: StreamStats, settings: Settings, *, refuses_writes: bool = False) -> tuple[Health, str]:
    """A stream's health, and what `examine` finds: a line each for several groups and the stream."""
    health, found = examine(stats, settings, refuses_writes=refuses_writes)
    groups = sum(about.group is not None for about in found)
    return health, ("\n" if groups > 1 else " ").join(about.line for about in found) or NOTHING


def _missing(group: GroupStats) -> str:
    """The missing party."""
    alive = [one for one in group.consumers if one.alive]
    is_due_later = group.pending and group.postponed >= group.pending and not has_undelivered(group)
    later = " to take what is due later" if is_due_later else ""
    if not alive:
        return f"no consumer is alive{later}"
    held = sum(group.held_by(one) for one in alive)
    who = "agents" if all(one.kind == "agent" for one in alive) else "people or agents"
    return f"no worker is alive{f' ({who} hold {held})' if held else later}"


def _start(group: GroupStats, stream: str) -> str:
    """The advice that brings the missing party: in the agents' own group, that is an agent itself."""
    is_theirs = group.name == AGENTS and all(one.kind == "agent" for one in group.consumers)
    how = "an agent takes them with lease_events" if is_theirs else f"start a {_worker(group)}"
    return f"{how}{_or_remove(group, stream)}"


def _worker(group: GroupStats) -> str:
    """The worker of a group, and the command that starts it."""
    return f"worker (`{remedies.worker(group.name)}`)"


def _first_worker(groups: Sequence[str]) -> str:
    """The command that starts a worker of a stream without a group, by the groups of its topic."""
    if len(groups) == 1:
        return f"`{remedies.worker(groups[0])}` (the group of its topic)"
    of = f" (its topic has the groups {first_of(groups, MOST_NAMED)})" if groups else ""
    return f"`{remedies.WORKER}`{of}"


def _is_held_up(group: GroupStats, at: Situation) -> bool:
    """Whether more consumers would not help: the server, one consumer or most of the work waits."""
    return (
        at.refuses_writes
        or bool(holders.stuck(group, at.settings))
        or 2 * group.postponed > group.pending + (group.lag or 0)
    )


def _unknown(group: GroupStats, at: Situation) -> str:
    """Further words about a group of which nobody can tell whether a worker lives."""
    if group.workers or not at.refuses_writes:
        return ""
    return (
        " While Redis takes no writes, nobody can tell whether a worker of it lives: look again when it does."
    )


def _or_remove(group: GroupStats, stream: str) -> str:
    """Further advice about a group that nobody has ever used, such as one with a mistyped name."""
    unused = group.unused_seconds
    if not remedies.may_be_mistake(group) or (unused is not None and unused < BACKLOG_SECONDS):
        return ""
    return f"; or, if the group is a mistake, {remedies.removal(stream, group.name)}"


def _beyond_end(group: GroupStats, stream: str) -> str:
    how = (
        "Its consumers set it back within seconds."
        if any(one.alive for one in group.consumers)
        else f"Its next consumer sets it back to where it was: start a {_worker(group)}, or move it with "
        f"`{command('group reset', stream, group.name, options='--from …')}`."
    )
    return (
        f"Group {group.name!r} stands at {group.last_delivered_id}, beyond the end of the stream, and skips "
        f"every event: somebody set it there by hand (XGROUP SETID or CREATE). {how}"
    )


def _destroyed(group: GroupStats, stream: str) -> str:
    events = "1 event" if group.lag == 1 else f"{group.lag} events"
    return (
        f"Somebody destroyed group {group.name!r}, which had {events} to finish. Its next consumer makes it "
        f"again where it had finished: start a {_worker(group)}; or, if that was meant, "
        f"{remedies.removal(stream, group.name)}."
    )


def _waiting(group: GroupStats) -> str:
    lag = f"an unknown number of events ({UNKNOWN_LAG})" if group.lag is None else str(group.lag)
    return (
        f"Group {group.name!r} has {group.pending} pending{_postponed(group)}"
        f"{_since(group.oldest_pending_seconds)} and {lag} "
        f"not delivered yet{_since(group.oldest_undelivered_seconds)}"
    )


def _postponed(group: GroupStats) -> str:
    """How many of its pending events are postponed, as words behind their number."""
    if not group.postponed:
        return ""
    return ", all postponed" if group.postponed >= group.pending else f", {group.postponed} of them postponed"


def _since(seconds: float | None) -> str:
    return "" if seconds is None else f" (the oldest published {duration(seconds)} ago)"
