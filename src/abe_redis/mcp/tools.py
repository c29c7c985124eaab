"""The tools of the MCP server."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from mcp.types import CallToolResult
from pydantic import Field

from abe_redis import schemas
from abe_redis.errors import RequestError
from abe_redis.mcp import answer_text
from abe_redis.mcp.budget import OVERVIEW_CHARS, fit_events, fit_overview, most_events, plain
from abe_redis.mcp.compat.sdk import answer
from abe_redis.mcp.parameters import Confirm, Consumer, Group, Id, Ids, OneStream, Stream
from abe_redis.mcp.permissions import Permissions
from abe_redis.operations.event_views import compact
from abe_redis.sanitize.untrusted import safe
from abe_redis.schemas import (
    SEVERITY,
    AckResult,
    PublishResult,
    ReadResult,
    RedriveResult,
    ReleaseResult,
    StatsResult,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from abe_redis.operations.operations import Operations

STREAM_CHARS = 20_000
"""Characters of an answer about one stream."""


class Tools:
    """The tools of one server; each answers with a structure and with text."""

    def __init__(self, operations: "Callable[[], Awaitable[Operations]]", permissions: Permissions) -> None:
        """Create the tools without I/O.

        Args:
            operations: Returns the operations; called at each tool call, so that the first one can create
            them.
            permissions: What an agent may do.
        """
        self._operations = operations
        self._permissions = permissions

    async def publish_event(
        self,
        payload: Annotated[
            dict[str, Any],
            Field(description="The event, a JSON object; its Slack verification token is left out."),
        ],
        stream: Stream = None,
        event_id: Annotated[
            str | None,
            Field(
                description="Makes a repeated call harmless: the same id is added to a stream only once. By "
                "default the payload's own event_id, if it is a Slack envelope.",
                min_length=1,
                max_length=schemas.MAX_EVENT_ID,
            ),
        ] = None,
    ) -> Annotated[CallToolResult, PublishResult]:
        """Add an event."""
        self._permissions.check_payload(len(compact(payload).encode(errors="surrogatepass")))
        self._permissions.check_change()
        result = safe(
            await (await self._operations()).publish_event(payload, stream=stream, event_id=event_id)
        )
        return answer(plain(result), answer_text.published(result))

    async def read_stream(
        self,
        stream: Stream = None,
        count: Annotated[int, Field(description="How many events at most.", ge=1, le=schemas.MAX_COUNT)] = 10,
        group: Annotated[
            str | None,
            Field(
                description="Leave out to only look. With a group, events are leased to you.",
                min_length=1,
                max_length=512,
            ),
        ] = None,
        create_group: Annotated[
            bool,
            Field(
                description="Make the group if the stream has others but not this one; it starts at the "
                "oldest event."
            ),
        ] = False,
        consumer: Consumer = None,
        pending: Annotated[
            bool,
            Field(
                description="With a group: show what is leased, by whom, how long and how often, and change "
                "nothing."
            ),
        ] = False,
        start: Annotated[
            str | None,
            Field(description="Begin behind this entry id: next_start of the answer before.", max_length=41),
        ] = None,
        order: Annotated[
            Literal["newest", "oldest"],
            Field(description="From which end to look; a lease is always oldest first."),
        ] = "newest",
        event_type: Annotated[
            str | None,
            Field(
                description="Show only events of this type, as in app_mention; not for a lease.",
                max_length=100,
            ),
        ] = None,
        channel: Annotated[
            str | None,
            Field(description="Show only events in this channel, as in C024.", max_length=100),
        ] = None,
        user: Annotated[
            str | None,
            Field(description="Show only events by this user, as in U061.", max_length=100),
        ] = None,
        since: Annotated[
            str | None,
            Field(
                description="Show only events from this time on: a time ago such as 90s, 15m, 2h, 1d, a time "
                "such as 2026-01-31T09:00 (UTC), or an entry id; not for a lease.",
                min_length=1,
                max_length=41,
            ),
        ] = None,
        wait_seconds: Annotated[
            float,
            Field(
                description="How long to wait for an event when there is none.",
                ge=0,
                le=schemas.MAX_WAIT_SECONDS,
            ),
        ] = 0,
        max_chars: Annotated[
            int,
            Field(
                description="How many characters the whole answer has at most, text and structure together: "
                "payloads are shortened, and events that do not fit come with the next call.",
                ge=1000,
                le=schemas.MAX_CHARS,
            ),
        ] = 20_000,
        full: Annotated[
            bool, Field(description="Also fields that are null or as always; they count for max_chars.")
        ] = False,
    ) -> Annotated[CallToolResult, ReadResult]:
        """Look at events, lease them, or see what is leased."""
        if self._permissions.read_only and group is not None and not pending:
            raise RequestError(
                "This server was started with --read-only, and a lease would change the group. Leave out "
                "group to look, or set pending to see what is leased."
            )
        leases = group is not None and not pending
        if leases:
            self._permissions.check_change()
            count = min(count, most_events(max_chars))  # events that do not fit would be given back
        operations = await self._operations()
        result = await operations.read_stream(
            stream=stream,
            count=count,
            group=group,
            create_group=create_group,
            consumer=consumer,
            pending=pending,
            start=start,
            order=order,
            event_type=event_type,
            channel=channel,
            user=user,
            since=since,
            wait_seconds=wait_seconds,
            max_chars=schemas.MAX_CHARS,
        )
        if result.mode == "peek" and result.events and not self._permissions.read_only:
            result.note += " To work on events, read with a group."
        not_shown = {one.id for one in result.events} if leases else set()
        try:
            made = safe(result)
            if leases and not full:
                for event in made.events:
                    event.consumer = event.idle_seconds = None  # all are the agent's, and new
            fence = answer_text.tag()
            fit_events(made, lambda part: answer_text.read(part, fence), max_chars, full=full)
            not_shown -= {one.id for one in made.events}
            return answer(plain(made, full=full), answer_text.read(made, fence))
        finally:
            if group is not None and not_shown:
                await operations.take_back(
                    stream=result.stream, group=group, ids=[*not_shown], consumer=consumer
                )

    async def ack(
        self,
        stream: OneStream,
        group: Group,
        ids: Ids,
        confirm: Confirm = False,  # noqa: ARG002 - what was asked before counts
        consumer: Consumer = None,
    ) -> Annotated[CallToolResult, AckResult]:
        """Finish events."""
        self._permissions.check_change()
        result = await (await self._operations()).ack(stream=stream, group=group, ids=ids, consumer=consumer)
        result = safe(result)
        return answer(plain(result), answer_text.acked(result))

    async def release(
        self,
        stream: OneStream,
        group: Group,
        ids: Ids,
        delay_seconds: Annotated[
            float, Field(description="Deliver them again after so long, at the earliest.", ge=0, le=604_800)
        ] = 0,
        bury: Annotated[
            bool, Field(description="Give up on them instead: they move to the dead letters, with reason.")
        ] = False,
        reason: Annotated[
            str | None, Field(description="Why; needed to bury.", min_length=1, max_length=300)
        ] = None,
        confirm: Confirm = False,  # noqa: ARG002 - what was asked before counts
        consumer: Consumer = None,
    ) -> Annotated[CallToolResult, ReleaseResult]:
        """Give events back, or bury them."""
        if bury and reason is None:
            raise RequestError("To bury events, say why with reason; whoever redrives them will read it.")
        self._permissions.check_change()
        result = await (await self._operations()).release(
            stream=stream,
            group=group,
            ids=ids,
            consumer=consumer,
            delay_seconds=delay_seconds,
            bury=reason if bury else None,
        )
        result = safe(result)
        return answer(plain(result), answer_text.released(result, bury=bury, delay_seconds=delay_seconds))

    async def redrive(
        self,
        stream: Annotated[
            str | None,
            Field(description="The stream they came from; by default the host's topic.", max_length=512),
        ] = None,
        ids: Annotated[
            list[Id] | None,
            Field(
                description="Ids of dead letters, as read_stream shows them for dead:{NAME}.",
                min_length=1,
                max_length=schemas.MAX_COUNT,
            ),
        ] = None,
        reason: Annotated[
            str | None, Field(description="Those whose reason contains this.", min_length=1, max_length=300)
        ] = None,
        event_type: Annotated[
            str | None, Field(description="Those of this type.", min_length=1, max_length=100)
        ] = None,
        dry_run: Annotated[bool, Field(description="Only say what would be done.")] = True,
        confirm: Confirm = False,  # noqa: ARG002 - what was asked before counts
    ) -> Annotated[CallToolResult, RedriveResult]:
        """Send dead letters back to work."""
        if not dry_run:
            self._permissions.check_change()
        result = await (await self._operations()).redrive(
            stream=stream, ids=ids or (), reason=reason, event_type=event_type, dry_run=dry_run
        )
        result = safe(result)
        return answer(plain(result), answer_text.redriven(result))

    async def stream_stats(
        self,
        stream: Annotated[
            str | None, Field(description="Stream name; by default all streams.", max_length=512)
        ] = None,
    ) -> Annotated[CallToolResult, StatsResult]:
        """The health of one stream, or of all."""
        result = safe(await (await self._operations()).stream_stats(stream=stream))
        result.streams.sort(key=lambda one: SEVERITY.index(one.health))
        fit_overview(result, answer_text.stats, OVERVIEW_CHARS if stream is None else STREAM_CHARS)
        return answer(plain(result), answer_text.stats(result))
