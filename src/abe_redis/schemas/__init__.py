"""The results of the operations: the same shapes for an agent, a script and a developer."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from abe_redis.schemas.deferred import DeferredModel
from abe_redis.schemas.events import (
    UNTRUSTED as UNTRUSTED,
)
from abe_redis.schemas.events import (
    Buried as Buried,
)
from abe_redis.schemas.events import (
    Counted as Counted,
)
from abe_redis.schemas.events import (
    CountOfStream as CountOfStream,
)
from abe_redis.schemas.events import (
    CountResult as CountResult,
)
from abe_redis.schemas.events import (
    CountRow as CountRow,
)
from abe_redis.schemas.events import (
    EventView as EventView,
)
from abe_redis.schemas.events import (
    GroupBrief as GroupBrief,
)
from abe_redis.schemas.events import (
    GroupState as GroupState,
)
from abe_redis.schemas.events import (
    ReadResult as ReadResult,
)
from abe_redis.schemas.stats import (
    SEVERITY as SEVERITY,
)
from abe_redis.schemas.stats import (
    Age as Age,
)
from abe_redis.schemas.stats import (
    ConsumerStats as ConsumerStats,
)
from abe_redis.schemas.stats import (
    GroupStats as GroupStats,
)
from abe_redis.schemas.stats import (
    Health as Health,
)
from abe_redis.schemas.stats import (
    OutboxStats as OutboxStats,
)
from abe_redis.schemas.stats import (
    ServerMemory as ServerMemory,
)
from abe_redis.schemas.stats import (
    StatsResult as StatsResult,
)
from abe_redis.schemas.stats import (
    StreamStats as StreamStats,
)

MAX_DELAY_SECONDS = 7 * 86_400
"""The longest time for which an entry can be postponed."""
MAX_COUNT = 100
"""Events in one answer, and ids in one ack."""
MAX_WAIT_SECONDS = 20
MIN_CHARS, MAX_CHARS = 500, 200_000
"""Characters of payload in one answer."""
MAX_EVENT_ID = 256
"""Characters."""


class PublishResult(DeferredModel):
    """The result of publishing an event."""

    stream: str
    id: str = Field(description="Entry id; of the first entry when this is a duplicate.")
    duplicate: bool = Field(description="True when this event_id was already there and nothing was added.")
    waiting: bool = Field(
        default=False,
        description="True when Redis does not take it at present: it is safe in this machine's outbox, "
        "which adds it when Redis does.",
    )
    reason: str | None = Field(default=None, description="Why Redis does not take it at present.")
    new_stream: bool = Field(
        default=False,
        description="True when this made a stream that no group reads yet, and that the settings do not name "
        "themselves: its name may be misspelt.",
    )


class PublishLinesResult(DeferredModel):
    """The result of publishing many events."""

    lines: int = Field(
        default=0, description="Number of events that are published: added, duplicates and waiting together."
    )
    added: int = Field(default=0, description="Number of them that were added to a stream.")
    duplicates: int = Field(default=0, description="Number of them that were already there.")
    waiting: int = Field(default=0, description="Number of them in the outbox, until Redis takes them.")
    reason: str | None = Field(default=None, description="Why Redis does not take them at present.")
    continue_with: str | None = Field(
        default=None,
        description="The options that publish the rest, as in `--from-line 501`, when it ended before the "
        "last line; null when nothing is left.",
    )
    doubtful_lines: str | None = Field(
        default=None, description="Lines that may be published, too, as in `22-40,45`."
    )


class Released(DeferredModel):
    """The result of a release, id by id."""

    stream: str
    group: str
    released: list[str] = Field(description="Given back; they are delivered again.")
    still_postponed: list[str] = Field(
        default=[],
        description="Released ones that were leased while postponed: they wait for the rest of the delay.",
    )
    buried: list[str] = Field(description="Moved to the dead letters.")
    not_held: list[str] = Field(description="Held by another consumer; unchanged.")
    free: list[str] = Field(
        default=[], description="Held by nobody, so that the next consumer gets it; unchanged."
    )
    unknown: list[str] = Field(description="Not pending in this group: already finished, or never delivered.")


class ReleaseResult(Released):
    """The result for one stream and group; and for others, when none was named."""

    also: list[Released] = Field(
        default=[], description="The same for other streams and groups in which you held events."
    )


class BuryResult(ReleaseResult):
    """The result of giving up on an event by its id."""

    passed_over: int = Field(
        default=0,
        description="Events before it that were not delivered to the group yet. The group has moved past "
        "them: nobody has them, they count as pending, and the next consumer gets them first.",
    )


class Acked(DeferredModel):
    """The result of an ack, id by id."""

    stream: str
    group: str
    acked: list[str] = Field(description="Finished.")
    not_held: list[str] = Field(description="Held by another consumer; unchanged.")
    free: list[str] = Field(
        default=[],
        description="Held by nobody, since it was given back or postponed, or its lease is over; unchanged.",
    )
    unknown: list[str] = Field(description="Not pending in this group: already finished, or never delivered.")


class AckResult(Acked):
    """The result for one stream and group; and for others, when none was named."""

    also: list[Acked] = Field(
        default=[], description="The same for other streams and groups in which you held events."
    )


class DeadLetter(DeferredModel):
    """An event that a group gave up on."""

    id: str = Field(description="Its id among the dead letters; pass it to redrive or purge.")
    stream: str = Field(description="The stream it came from.")
    group: str | None = Field(default=None, description="The group that gave up on it.")
    reason: str = Field(description=f"Why. {UNTRUSTED}")
    deliveries: int | None = Field(default=None, description="Number of deliveries in that group.")
    consumer: str | None = Field(default=None, description="The consumer that held it last.")
    buried_at: datetime = Field(description="When it was buried (UTC).")
    first_id: str = Field(description="The entry id it had when it was first published.")
    entry_id: str = Field(description="The entry id it had last: another one if it was redriven before.")
    event_type: str | None = Field(default=None, description=f"Type of the Slack event. {UNTRUSTED}")
    summary: str = Field(description=f"The event in a line. {UNTRUSTED}")
    handler: str | None = Field(default=None, description="The handler that failed, when a worker buried it.")
    trace: str | None = Field(
        default=None, description=f"The end of the handler's traceback, when one letter is shown. {UNTRUSTED}"
    )
    payload: dict[str, Any] | None = Field(
        default=None, description=f"The event's JSON, when one letter is shown. {UNTRUSTED}"
    )


class DeadLetterKind(DeferredModel):
    """Dead letters of the same stream, group, handler and type, with similar reasons."""

    stream: str
    group: str | None = Field(default=None, description="The group that gave up on them.")
    handler: str | None = Field(default=None, description="The handler that failed.")
    event_type: str | None = Field(default=None, description=f"Type of the Slack event. {UNTRUSTED}")
    reason: str = Field(description=f"Why, with # for numbers and ids. {UNTRUSTED}")
    count: int
    first_at: datetime = Field(description="When the first of them was buried (UTC).")
    last_at: datetime = Field(description="When the last of them was buried (UTC).")
    last_id: str = Field(description="The id of the last of them among the dead letters.")
    sample: str | None = Field(
        default=None,
        description=f"The reason of the last of them, where # stands for all of its words. {UNTRUSTED}",
    )


class DeadSummaryResult(DeferredModel):
    """Kinds of dead letters, the most frequent first."""

    kinds: list[DeadLetterKind]
    total: int = Field(description="Number of dead letters that match.")
    in_streams: int = Field(
        default=0, description="Number of dead letters in these streams, matching or not."
    )
    omitted: int = Field(
        default=0, description="Number of rows that were left out: no larger ones, or earlier hours or days."
    )


class DeadLettersResult(DeferredModel):
    """Dead letters, of one stream or of all."""

    letters: list[DeadLetter]
    total: int = Field(
        description="Number of dead letters in these streams, matching or not; of those that match, "
        "`dead summary` and `count` have it in their `total`."
    )
    more: bool = Field(description="True when more match than are shown.")
    next_start: str | None = Field(
        default=None, description="Call again with start set to this to see what comes behind."
    )


class RedriveResult(DeferredModel):
    """The result of redriving the chosen dead letters."""

    stream: str
    redriven: int = Field(description="Number that went back to work; with dry_run, number that would.")
    groups: dict[str, int] = Field(description="The same per group that gave up on them.")
    left: int = Field(description="Number of dead letters left; with dry_run, number that would be.")
    dry_run: bool
    unknown: list[str] = Field(default=[], description="Ids that no dead letter of the stream has.")
    refused: int = Field(
        default=0, description="Number of chosen ones of groups in which the caller may not work."
    )
    refusal: str = Field(default="", description="Why, for the first of them.")
    same_event: int = Field(
        default=0,
        description="Number of chosen ones that stay: a newer one of the same event and group goes back.",
    )
    note: str = Field(default="", description="What the partitions of the topic have, which stays.")


class PurgeResult(DeferredModel):
    """The result of removing the chosen dead letters."""

    stream: str
    purged: int = Field(description="Number removed for good; with dry_run, number that would be.")
    left: int = Field(description="Number of dead letters left; with dry_run, number that would be.")
    dry_run: bool
    unknown: list[str] = Field(default=[], description="Ids that no dead letter of the stream has.")
    note: str = Field(default="", description="What the partitions of the topic have, which stays.")


class GroupOfStream(GroupStats):
    """A consumer group with the stream it belongs to."""

    stream: str
    alive: int = Field(description="Number of its consumers that are alive, without those of agents.")


class GroupsResult(DeferredModel):
    """The consumer groups of one stream or of all."""

    groups: list[GroupOfStream]


class GroupChange(DeferredModel):
    """A change of a group."""

    stream: str
    group: str
    done: Literal["created", "reset", "removed", "replayed", "paused", "resumed", "nothing"]
    events: int = Field(description="Number of events concerned, as the note says.")
    is_all: bool = Field(default=True, description="Whether these are all of them; else there are more.")
    note: str
    again: int = Field(
        default=0,
        description="Number of events that come again, counted up to 20,000; with dry_run, that would.",
    )
    dead_letters: int = Field(
        default=0,
        description="Of a replay: number of its events of which this group has a dead letter, of the newest "
        "10,000; redriving these as well would deliver the events twice.",
    )
    dry_run: bool = False


class ErasedStream(DeferredModel):
    """The erased events of one stream."""

    stream: str
    erased: int = Field(description="Number of removed entries; with dry_run, number that would be.")
    unfinished: int = Field(description="Of them, not finished by some group.")


class EraseResult(DeferredModel):
    """The erased events of all streams and their dead letters."""

    note: str = Field(default="", description="Where copies of them may be that this does not reach.")

    streams: list[ErasedStream]
    searched: int = Field(description="Number of searched entries.")
    only_mentioned: int = Field(default=0, description="Entries that only mention the id, and stay.")
    dry_run: bool


class Change(DeferredModel):
    """A change that a person or an agent made, or a consumer that made a group again."""

    at: datetime = Field(description="When (UTC).")
    who: str = Field(description="user@host of a person; of others, the name under which they hold events.")
    origin: str = Field(
        description="cli for the command line, mcp for the MCP server, consumer for a restored group."
    )
    what: str = Field(description="What was done: an agent's tool, or a command.")
    facts: dict[str, Any] = Field(description="Stream, group, ids and other details of the change.")

    @property
    def streams(self) -> list[str]:
        """The streams that it was about, those of dead letters among them."""
        named = self.facts.get("streams") or [self.facts.get("stream")]
        return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


class AuditResult(DeferredModel):
    """The changes that people and agents made, the newest first."""

    changes: list[Change]
