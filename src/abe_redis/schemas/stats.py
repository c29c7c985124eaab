"""The state of streams, groups, consumers and servers."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from abe_redis.schemas.deferred import DeferredModel

type Health = Literal["ok", "working", "backlog", "stalled", "paused", "unread", "dead_letters"]

SEVERITY: tuple[Health, ...] = ("stalled", "unread", "backlog", "paused", "dead_letters", "working", "ok")
"""The health of streams, the worst first."""


AGENTS = "agents"
"""The group of agents' own."""


def is_agent(consumer: str) -> bool:
    """Whether a consumer is an agent's, by its name; workers are called otherwise."""
    return consumer.startswith("mcp-")


def is_person(consumer: str) -> bool:
    """Whether a consumer is one of the command line, by its name."""
    return consumer.startswith("cli-")


type Kind = Literal["worker", "agent", "person"]


def kind_of(consumer: str) -> Kind:
    """What a consumer is, by its name."""
    return "agent" if is_agent(consumer) else "person" if is_person(consumer) else "worker"


class ConsumerStats(DeferredModel):
    """One consumer of a group."""

    name: str
    kind: Kind = Field(
        default_factory=lambda given: kind_of(given["name"]),
        description="Whether it is a worker, an agent (mcp-…), or a person at the command line (cli-…, and "
        "who leases with --consumer).",
    )
    pending: int = Field(description="Entries under its name that are not acked: held, postponed or free.")
    postponed: int = Field(
        default=0,
        description="Those of them that wait for a retry or a delay, so that nobody holds them; of the 100 "
        "oldest, and of the 1,000 oldest in an answer about one stream.",
    )
    free: int = Field(
        default=0,
        description="Those of them that the next consumer gets: given back, or with a lease that is over; "
        "of as many.",
    )
    idle_seconds: float = Field(
        description="Seconds since its last command in this group; while it waits, it gives a sign of life "
        "twice per lease, and every 15 seconds at least."
    )
    alive: bool = Field(
        description="True while idle_seconds is less than its lease (2.4 s at least), unless it has ended in "
        "order."
    )
    ended: bool = Field(
        default=False,
        description="Whether it has ended in order, so that it holds nothing any more; what it did not give "
        "back is pending under its name until a live consumer takes it over.",
    )
    full: bool = Field(
        default=False,
        description="Whether it takes no events, since functions beyond their limit hold all places of its "
        "worker, as it said; it says so with each renewal of its leases.",
    )
    lease_seconds: float | None = Field(
        default=None, description="How long its leases last without renewal, as it said; null if it did not."
    )
    holds: str | None = Field(
        default=None,
        description="Entry id of the event that it has held longest, of those that its handlers have.",
    )
    held_seconds: float | None = Field(
        default=None, description="Seconds for which it has held that one, renewals included."
    )
    lease_over: bool = Field(
        default=False,
        description="Whether the lease of that one is over, so that the next consumer gets it.",
    )


type Age = Literal["under_10s", "under_1m", "under_10m", "under_1h", "older"]


class GroupStats(DeferredModel):
    """One consumer group of a stream."""

    name: str
    pending: int = Field(description="Entries given to the group and not acked: held, postponed or free.")
    postponed: int = Field(
        default=0,
        description="Those of them that wait for a retry or a delay, so that nobody holds them.",
    )
    lag: int | None = Field(
        default=None,
        description="Entries not delivered yet. After some behind the group's place were removed, Redis "
        "does not know it: then they are counted, and null when there are more than 100 (1,000 in an answer "
        "about one stream).",
    )
    oldest_pending_seconds: float | None = Field(default=None, description="Age of the oldest pending entry.")
    oldest_undelivered_seconds: float | None = Field(
        default=None, description="Age of the oldest entry that is not delivered yet."
    )
    oldest_pending: str | None = Field(default=None, description="Entry id of the oldest pending entry.")
    oldest_undelivered: str | None = Field(
        default=None, description="Entry id of the oldest entry that is not delivered yet."
    )
    oldest_held_seconds: float | None = Field(
        default=None, description="The longest time for which a consumer has held one, renewals included."
    )
    pending_by_age: dict[Age, int] = Field(
        default={},
        description="Number of pending entries by the time since they were published; of the 1,000 oldest, "
        "and only in an answer about one stream.",
    )
    last_delivered_id: str
    unused_seconds: float | None = Field(
        default=None,
        description="Seconds since any consumer used it; null when unknown.",
    )
    seen_unused_seconds: float = Field(
        default=0, exclude=True, description="Seconds for which trimming has seen that nobody uses it."
    )
    paused: bool = Field(description="True while the group is paused and delivers nothing.")
    destroyed: bool = Field(
        default=False,
        description="True when somebody destroyed the group (XGROUP DESTROY) and its position is recorded: "
        "its next consumer makes it again there, and trimming waits for it, until it is removed.",
    )
    beyond_end: bool = Field(
        default=False,
        description="True when somebody set the group beyond the stream's end (XGROUP SETID), so that it "
        "skips every event; its next consumer sets it back.",
    )
    lost: int = Field(
        description="Entries that were gone before the group had finished them: by XTRIM, XDEL or DEL of "
        "others, by eviction, in a failover, or by trimming when the group was unused for too long. Or "
        "dropped with a consumer (XGROUP DELCONSUMER) while too many were pending to know which: these are "
        "there still."
    )
    consumers: list[ConsumerStats]

    @property
    def oldest_waiting(self) -> str | None:
        """Entry id of the oldest that it has not finished; None when nothing waits, or that is unknown."""
        known = [one for one in (self.oldest_pending, self.oldest_undelivered) if one is not None]
        return min(known, key=lambda one: [int(part) for part in one.split("-")], default=None)

    def left_with(self, one: ConsumerStats) -> int:
        """How many events stand under a consumer's name, without those that wait for a retry."""
        return 0 if self.postponed >= self.pending else max(0, one.pending - one.postponed)

    def held_by(self, one: ConsumerStats) -> int:
        """How many of these it holds: the leases of the others are over, or they were given back."""
        return max(0, self.left_with(one) - one.free)

    @property
    def nobodys(self) -> tuple[int, int]:
        """How many pending events stand under no consumer's name, and how many of these are postponed."""
        free = max(0, self.pending - sum(one.pending for one in self.consumers))
        return free, min(free, max(0, self.postponed - sum(one.postponed for one in self.consumers)))

    @property
    def workers(self) -> list[ConsumerStats]:
        """The live consumers that work for it.

        Agents choose their events, so they count only in the group `agents`, and only if no one else has a
        consumer in it, alive or not. A person at the command line does not count.
        """
        own = self.name == AGENTS and all(one.kind == "agent" for one in self.consumers)
        kinds = {"worker", "agent"} if own else {"worker"}
        return [one for one in self.consumers if one.alive and one.kind in kinds]


class StreamStats(DeferredModel):
    """One stream with its health, and advice what to do about it."""

    stream: str
    length: int = Field(description="Entries in the stream, finished history included.")
    added: int | None = Field(
        default=None,
        description="Number of entries ever added; its growth between two calls is the throughput.",
    )
    first_at: datetime | None = Field(default=None, description="When its oldest entry was published (UTC).")
    last_at: datetime | None = Field(default=None, description="When its newest entry was published (UTC).")
    memory_bytes: int | None = None
    dead_letters: int = Field(description="Entries that a group gave up on.")
    lost_unread: int = Field(
        default=0,
        description="Entries that were trimmed before any group had read them (REDIS_STREAM_TRIM_UNREAD).",
    )
    full_at: int | None = Field(
        default=None,
        description="The bound at which it takes no more entries, so that every publish is refused: "
        "REDIS_STREAM_HARD_MAXLEN here, or that of a publisher that was refused; null while it takes events.",
    )
    groups: list[GroupStats]
    first_id: str | None = Field(
        default=None, exclude=True, description="The id of its first entry; null without one."
    )
    last_id_for_spent: str | None = Field(
        default=None,
        exclude=True,
        description="Of a stream whose last id is the largest there is, the id to which XSETID may set it; "
        "empty when it may not.",
    )
    topic_groups: list[str] = Field(
        default=[], exclude=True, description="Without a group: those of the other streams of its topic."
    )
    health: Health = Field(
        description="ok: nothing is waiting. working: events are being worked on. backlog: events wait "
        "although consumers are alive. stalled: events wait and no consumer is alive, or a group skips all "
        "of them, as it stands beyond the stream's end, or every publish is refused. paused: events wait "
        "for a paused group. unread: events and no group. dead_letters: nothing else is wrong, but "
        "some events were given up on."
    )
    advice: str = Field(
        description="What is wrong and what to do; where it is about several groups, a line for each and one "
        "for the stream, the worst first."
    )


class ServerMemory(DeferredModel):
    """The memory of a server."""

    server: str = Field(description="Host and port, when it is one of several; else REDIS_URL.")
    used_bytes: int
    max_bytes: int | None = Field(default=None, description="Its maxmemory; null when it has none.")
    policy: str | None = Field(
        default=None, description="What it does when it is full (maxmemory-policy), if it says so."
    )


class OutboxStats(DeferredModel):
    """The events in this machine's `REDIS_OUTBOX`, from all processes that share the file."""

    waiting: int = Field(description="Events that will be added as soon as Redis accepts them.")
    refused: int = Field(
        description="Events that Redis refused for good, or that the disk damaged; the file has the reasons."
    )
    oldest_waiting_seconds: float = Field(
        default=0.0, description="Age of the oldest event that waits; 0 when none does."
    )
    trouble: str | None = Field(
        default=None,
        description="Why it cannot be looked at, as when its disk is full; its numbers are unknown then.",
    )


class StatsResult(DeferredModel):
    """The health of one stream or of all."""

    problems: list[str] = Field(
        default=[], description="Problems of the server or of keys, rather than of a stream, the worst first."
    )
    memory: list[ServerMemory] = Field(
        default=[], description="The memory of each server that has keys, if this user may see it."
    )
    streams: list[StreamStats]
    health: dict[Health, int] = Field(default={}, description="Number of streams in each state.")
    omitted: int = Field(
        default=0, description="Number of streams left out of the list; none of them is worse."
    )
    names: dict[Health, list[str]] = Field(
        default={}, description="The names of those, by the state they are in, as far as they fit."
    )
    outbox: OutboxStats | None = Field(
        default=None, description="Events on this machine's disk that wait for Redis; null without an outbox."
    )
