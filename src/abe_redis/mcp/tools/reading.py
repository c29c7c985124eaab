"""Tools that look at events and change nothing."""

from typing import TYPE_CHECKING, Annotated, Literal

from mcp.types import CallToolResult
from pydantic import Field

from abe_redis import schemas
from abe_redis.errors import RequestError
from abe_redis.mcp import event_text
from abe_redis.mcp.agent_events import agent_count
from abe_redis.mcp.compat.sdk import answer
from abe_redis.mcp.overview_length import plain
from abe_redis.mcp.parameters import (
    Channel,
    Contains,
    Count,
    MaxChars,
    Shown,
    Since,
    Stream,
    Thread,
    Type,
    Until,
    User,
    Waiting,
)
from abe_redis.mcp.tools.base import CHARS, ToolSet

if TYPE_CHECKING:
    from abe_redis.operations.filters import Asked
    from abe_redis.schemas import ReadResult


class ReadingTools(ToolSet):
    """Tools that look at events."""

    async def read_stream(
        self,
        stream: Stream = None,
        event_id: Annotated[
            str | None,
            Field(
                description="Find this one: Slack's event_id, or the id of an entry or a dead letter.",
                min_length=1,
                max_length=schemas.MAX_EVENT_ID,
            ),
        ] = None,
        contains: Contains = None,
        event_type: Type = None,
        channel: Channel = None,
        user: User = None,
        thread: Thread = None,
        since: Since = None,
        until: Until = None,
        dead: Annotated[bool, Field(description="Look at dead letters.")] = False,
        pending: Annotated[
            bool,
            Field(description="What is leased, by whom, for how long; without group: what you hold."),
        ] = False,
        waiting: Waiting = False,
        group: Annotated[
            str | None,
            Field(description="With pending or waiting: of this group.", min_length=1, max_length=512),
        ] = None,
        consumer: Annotated[
            str | None,
            Field(description="With pending: only what this one holds.", min_length=1, max_length=512),
        ] = None,
        count: Count = 10,
        order: Annotated[
            Literal["newest", "oldest"] | None,
            Field(description="From which end: by default newest; waiting, pending: oldest."),
        ] = None,
        start: Annotated[
            str | None,
            Field(
                description="Go on behind this id: start of the answer before.", min_length=1, max_length=41
            ),
        ] = None,
        payload: Shown = "none",
        wait_seconds: Annotated[
            float,
            Field(
                description="Seconds to wait for an event; without start and since, for a new one.",
                ge=0,
                le=schemas.MAX_WAIT_SECONDS,
            ),
        ] = 0,
        max_chars: MaxChars = CHARS,
    ) -> CallToolResult:
        """Look at events, or see what waits or is leased."""
        asked: Asked = {
            "event_type": event_type,
            "channel": channel,
            "user": user,
            "thread": thread,
            "contains": contains,
            "since": since,
            "until": until,
        }
        given = [name for name, value in asked.items() if value is not None]
        operations = await self._operations()
        if event_id is not None:
            beside: dict[str, object]
            beside = {"group": group, "consumer": consumer, "start": start, "wait_seconds": wait_seconds}
            given += [name for name, value in beside.items() if value]
            others = {"pending": pending, "waiting": waiting}
            _refuse_beside("event_id", [*given, *(name for name, value in others.items() if value)])
            result = await self._found(event_id, stream, dead=dead)
        elif waiting:
            beside = {"dead": dead, "pending": pending, "consumer": consumer, "wait_seconds": wait_seconds}
            _refuse_beside("waiting", [name for name, value in beside.items() if value])
            _refuse_newest("waiting", order)
            result = await operations.waiting(
                stream=stream, group=group, count=count, start=start, max_chars=None, **asked
            )
        elif pending:
            _refuse_beside("pending", [*given, *["dead"] * dead, *["wait_seconds"] * bool(wait_seconds)])
            _refuse_newest("pending", order)
            if group is None and consumer is not None:
                raise RequestError("What a consumer holds, it holds in a group: name that with group, too.")
            if group is None:
                result = await operations.held(stream=stream, count=count, start=start)
            else:
                result = await operations.pending(
                    stream=stream,
                    group=group,
                    count=count,
                    start=start,
                    consumer=consumer,
                    max_chars=None,
                )
        elif group is not None or consumer is not None:
            work = "" if self._permissions.read_only else " To take work from a group: lease_events."
            raise RequestError(
                "group and consumer are for pending=true, which shows who holds what; group is for "
                "waiting=true, too, which lists what the group has not finished. Without them, read_stream "
                f"shows the stream's events, whoever has had them.{work}"
            )
        else:
            result = await operations.peek(
                stream=stream,
                dead=dead,
                count=count,
                start=start,
                order=order or "newest",
                news=bool(wait_seconds) and start is None and since is None,
                wait_seconds=wait_seconds,
                max_chars=None,
                **asked,
            )
        self._check_there(result, event_id or stream)
        return (await self._fitted(result, payload, max_chars))[0]

    async def _found(self, event_id: str, stream: str | None, *, dead: bool) -> "ReadResult":
        """An event, or a dead letter, of this id; with `dead`, rather the dead letter of the event."""
        operations = await self._operations()
        if dead and (letter := await operations.find_dead_letter(event_id, stream=stream)) is not None:
            return letter
        result = await operations.find_event(event_id, stream=stream)
        if result.missing and not dead:
            return await operations.find_dead_letter(event_id, stream=stream) or result
        letters = [one.dead_id for one in result.handled if one.state == "buried" and one.dead_id]
        if dead and letters:
            found = await operations.find_dead_letter(letters[0], stream=result.stream)
            if found is not None:
                others = ", ".join(letters[1:])
                found.note += f" Other groups gave up on it, too: {others}." if others else ""
                return found
        if dead and not result.missing:
            result.note = f"No group has a dead letter of it. {result.note}"
        return result

    async def count_events(
        self,
        by: Annotated[
            Literal["type", "user", "channel", "thread", "hour", "day", "reason", "group"],
            Field(description="What to count by; reason and group are those of dead letters."),
        ] = "type",
        stream: Stream = None,
        event_type: Type = None,
        channel: Channel = None,
        user: User = None,
        thread: Thread = None,
        contains: Contains = None,
        since: Since = None,
        until: Until = None,
        dead: Annotated[bool, Field(description="Count dead letters.")] = False,
        waiting: Waiting = False,
        group: Annotated[
            str | None, Field(description="With waiting: of this group.", min_length=1, max_length=512)
        ] = None,
        count: Annotated[int, Field(description="How many rows.", ge=1, le=schemas.MAX_COUNT)] = 20,
    ) -> CallToolResult:
        """Count events by what they have in common."""
        made = agent_count(
            await (await self._operations()).count_events(
                by=by,
                stream=stream,
                event_type=event_type,
                channel=channel,
                user=user,
                thread=thread,
                contains=contains,
                since=since,
                until=until,
                dead=dead,
                waiting=waiting,
                group=group,
                count=count,
            )
        )
        text = event_text.counted(made, event_text.tag())
        if made.dead and made.total:
            text += f"\n{self._about_redriving(made.stream)}"
        return answer(plain(made), text)


def _refuse_newest(what: str, order: str | None) -> None:
    if order == "newest":
        raise RequestError(
            f"{what} shows events in the order of publication: leave out order, and go on with start."
        )


def _refuse_beside(what: str, others: list[str]) -> None:
    if others:
        raise RequestError(f"{what} stands for itself: leave out {', '.join(others)}, or leave out {what}.")
