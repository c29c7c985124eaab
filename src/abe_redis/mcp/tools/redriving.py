"""The tool that sends dead letters back to work."""

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from abe_redis import schemas
from abe_redis.mcp import answer_text
from abe_redis.mcp.compat.sdk import answer
from abe_redis.mcp.overview_length import plain
from abe_redis.mcp.parameters import Confirm, Id, Until
from abe_redis.mcp.tools.base import ToolSet
from abe_redis.sanitize.untrusted import safe


class RedrivingTools(ToolSet):
    """The tool about dead letters."""

    async def redrive(
        self,
        stream: Annotated[
            str | None,
            Field(
                description="Their stream; by default the host's topic.",
                min_length=1,
                max_length=512,
            ),
        ] = None,
        ids: Annotated[
            list[Id] | None,
            Field(
                description="Ids that read_stream(dead=true) shows.",
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
        group: Annotated[
            str | None, Field(description="Those that this group gave up on.", min_length=1, max_length=512)
        ] = None,
        since: Annotated[
            str | None,
            Field(
                description="Those buried from this point on: 1d (ago), 2026-01-31T09:00 (UTC) or an id.",
                min_length=1,
                max_length=41,
            ),
        ] = None,
        until: Until = None,
        dry_run: Annotated[
            bool, Field(description="Only say what would be done; true by default.", strict=True)
        ] = True,
        confirm: Confirm = False,  # noqa: ARG002 - what was asked before counts
    ) -> CallToolResult:
        """Send dead letters back to work."""
        if not dry_run:
            self._permissions.check_change()
        result = safe(
            await (await self._operations()).redrive(
                stream=stream,
                ids=ids or (),
                reason=reason,
                event_type=event_type,
                group=group,
                since=since,
                until=until,
                dry_run=dry_run,
            )
        )
        return answer(plain(result), answer_text.redriven(result))
