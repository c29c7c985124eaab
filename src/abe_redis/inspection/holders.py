"""Consumers that hold events for long, or are silent: sentences for workers, for agents and for people."""

from abe_redis.runtime.plurals import count, duration
from abe_redis.runtime.shell import command, option
from abe_redis.schemas import ConsumerStats, GroupStats
from abe_redis.settings import Settings


def stuck(group: GroupStats, settings: Settings) -> list[ConsumerStats]:
    """The workers and agents that have held an event for longer than their lease, the longest first.

    That is when a worker itself logs that its handler may be stuck, at the earliest.
    A person renews no lease, so what a person has had for longer is free.
    """
    found = [
        one
        for one in group.consumers
        if one.full or _is_beyond(one, one.lease_seconds or settings.redis_stream_lease_seconds)
    ]
    return sorted((one for one in found if one.kind != "person"), key=lambda one: -(one.held_seconds or 0))


def about_stuck(one: ConsumerStats, group: GroupStats) -> str:
    """The sentence about one of these that is alive."""
    said = (
        f"Consumer {one.name!r} of group {group.name!r} has held event {one.holds} for "
        f"{duration(one.held_seconds or 0)}"
    )
    if one.kind == "agent":
        return (
            f"{said}: an agent leased that, and keeps it while it makes calls and for ten minutes more. It "
            "settles it with `ack` or `release`."
        )
    return (
        f"{said}: if its handler never takes so long, see where it waits, give it a time limit (a plain "
        "function needs one of its own), or restart that worker."
    )


def is_silent(one: ConsumerStats, group: GroupStats, settings: Settings) -> bool:
    """Whether a consumer has events of which one hears nothing more from it."""
    if not group.left_with(one):
        return False
    if one.kind == "person":  # alive, as each command of theirs shows; but that renews no lease
        return not one.alive or _is_beyond(one, one.lease_seconds or settings.redis_stream_lease_seconds)
    # An event that an agent postponed stays with its consumer until it is due; nothing waits for the agent.
    return not one.alive and bool(one.holds or one.kind != "agent")


def about_silent(one: ConsumerStats, group: GroupStats, stream: str) -> str:
    """The sentence about such a consumer, or one that has left its events."""
    who = f"Consumer {one.name!r} of group {group.name!r}"
    number = group.left_with(one)
    events = count(number, "event")
    if one.kind == "person":
        return (
            f"{who} has {events}{longest(one)}: somebody leased that at the command line, and the lease is "
            f"over. {_finish(one, group.name, stream, number)}, or leave {_it(number)} to the next consumer."
        )
    if one.ended:
        when = "" if one.lease_seconds is None else f" of {duration(one.lease_seconds)}"
        return (
            f"{who} has ended and left {events} unfinished. A live consumer takes over what it left, at the "
            f"end of its lease{when}."
        )
    gone = (
        "its client or its process is gone"
        if one.kind == "agent"
        else "its process is gone or frozen, or its handler blocks the event loop"
    )
    return (
        f"{who} holds {events}{longest(one)}, and has been silent for {duration(one.idle_seconds)}: {gone}. "
        "A live consumer takes over what it holds."
    )


def _it(number: int) -> str:
    return "it" if number == 1 else "them"


def _finish(one: ConsumerStats, group: str, stream: str, number: int) -> str:
    """How to finish what a person has."""
    whose = f"{option('--group', group)} {option('--consumer', one.name)}"
    if number == 1 and one.holds:
        return f"Finish it with `{command('ack', stream, one.holds, options=whose)}`"
    look = command("read", stream, options=f"{option('--group', group)} --pending")
    ack = command("ack", stream, "ID", options=whose)
    return f"Finish {_it(number)} with `{ack}` (`{look}` shows the ids)"


def longest(one: ConsumerStats) -> str:
    """The event that a consumer has held longest, as words behind others."""
    return f", {one.holds} for {duration(one.held_seconds or 0)}" if one.holds else ""


def _is_beyond(one: ConsumerStats, seconds: float) -> bool:
    return (one.held_seconds or 0) > seconds
