"""Tools with which an agent takes work, and settles what it holds."""

import functools
from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from abe_redis import schemas
from abe_redis.errors import RequestError
from abe_redis.mcp import answer_text
from abe_redis.mcp.answer_length import most_events
from abe_redis.mcp.compat.sdk import answer
from abe_redis.mcp.lease_calls import LEASE_CALL
from abe_redis.mcp.overview_length import plain
from abe_redis.mcp.parameters import (
    Channel,
    Confirm,
    Consumer,
    Contains,
    Count,
    HeldBy,
    HeldIds,
    HeldIn,
    Id,
    MaxChars,
    Shown,
    Stream,
    Type,
    Wait,
)
from abe_redis.mcp.tools.base import CHARS, ToolSet
from abe_redis.sanitize.untrusted import safe


class LeasingTools(ToolSet):
    """Tools that take work and settle it."""

    async def lease_events(
        self,
        group: Annotated[str, Field(description="Consumer group.", min_length=1, max_length=512)],
        stream: Stream = None,
        count: Count = 10,
        ids: Annotated[
            list[Id] | None,
            Field(
                description="Only these, also if postponed: entry ids, as in 1732000000000-0.",
                min_length=1,
                max_length=schemas.MAX_COUNT,
            ),
        ] = None,
        event_type: Type = None,
        channel: Channel = None,
        contains: Contains = None,
        create_group: Annotated[
            bool, Field(description="Make the group if the stream has others but not this one.")
        ] = False,
        since: Annotated[
            str | None,
            Field(
                description="With create_group, of the group agents only: where it begins, as in 2h, or now; "
                "by default at the oldest.",
                min_length=1,
                max_length=41,
            ),
        ] = None,
        consumer: Consumer = None,
        wait_seconds: Wait = 0,
        payload: Shown = "none",
        max_chars: MaxChars = CHARS,
    ) -> CallToolResult:
        """Lease events to work on."""
        self._permissions.check_change()
        operations = await self._operations()
        most = most_events(max_chars)  # those that do not fit would be given back
        result = await operations.lease(
            stream=stream,
            group=group,
            count=min(count, most),
            ids=(ids or ())[:most],
            event_type=event_type,
            channel=channel,
            contains=contains,
            create_group=create_group,
            since=since,
            consumer=consumer,
            wait_seconds=wait_seconds,
            max_chars=None,
        )
        self._check_there(result, stream)
        if left_out := (ids or ())[most:]:
            result.note += f" {len(left_out)} ids do not fit into max_chars and were left out."
        not_shown = {one.id for one in result.events}
        try:
            for event in result.events:
                event.consumer = event.held_seconds = None  # all are the agent's, and new
            made, shown = await self._fitted(result, payload, max_chars)
            not_shown -= {one.id for one in shown.events}
            if (call := LEASE_CALL.get()) is not None:
                call.take_back = functools.partial(
                    operations.take_back,
                    result,
                    group=group,
                    ids=[one.id for one in shown.events],
                    consumer=consumer,
                )
            return made
        finally:
            if not_shown:
                await operations.take_back(result, group=group, ids=[*not_shown], consumer=consumer)

    async def ack(
        self,
        ids: HeldIds = None,
        stream: HeldIn = None,
        group: HeldBy = None,
        confirm: Confirm = False,  # noqa: ARG002 - what was asked before counts
        consumer: Consumer = None,
    ) -> CallToolResult:
        """Finish events."""
        self._permissions.check_change()
        result = safe(
            await (await self._operations()).ack(stream=stream, group=group, ids=ids, consumer=consumer)
        )
        return answer(plain(result), answer_text.acked(result))

    async def release(
        self,
        ids: HeldIds = None,
        stream: HeldIn = None,
        group: HeldBy = None,
        delay_seconds: Annotated[
            float,
            Field(
                description="Least seconds until they are delivered again.",
                ge=0,
                # The server may have a lower bound, which the error then names.
                json_schema_extra={"maximum": schemas.MAX_DELAY_SECONDS},
            ),
        ] = 0,
        bury: Annotated[
            bool, Field(description="Give up on them: they move to the dead letters, with reason.")
        ] = False,
        reason: Annotated[
            str | None, Field(description="Why; needed to bury.", min_length=1, max_length=300)
        ] = None,
        confirm: Confirm = False,  # noqa: ARG002 - what was asked before counts
        consumer: Consumer = None,
    ) -> CallToolResult:
        """Give events back, or bury them."""
        if bury and reason is None:
            raise RequestError("To bury events, say why with reason; whoever redrives them will read it.")
        self._permissions.check_change()
        result = safe(
            await (await self._operations()).release(
                stream=stream,
                group=group,
                ids=ids,
                consumer=consumer,
                delay_seconds=delay_seconds,
                bury=reason if bury else None,
                reason=None if bury else reason,
            )
        )
        said = answer_text.released(result, bury=bury, delay_seconds=delay_seconds)
        return answer(plain(result), said)
