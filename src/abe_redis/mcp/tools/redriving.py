"""The tool that sends dead letters back to work."""

from typing import TYPE_CHECKING, Annotated

from mcp.types import CallToolResult
from pydantic import Field

from abe_redis import schemas
from abe_redis.errors import RequestError
from abe_redis.mcp import answer_text
from abe_redis.mcp.compat.sdk import answer
from abe_redis.mcp.overview_length import plain
from abe_redis.mcp.parameters import Confirm, Id, Stream, Until
from abe_redis.mcp.tools.base import ToolSet
from abe_redis.sanitize.untrusted import safe

if TYPE_CHECKING:
    from abe_redis.operations.dead_letter_choice import AskedLetters
    from abe_redis.operations.filters import Asked


class RedrivingTools(ToolSet):
    """The tool about dead letters."""

    async def redrive(
        self,
        stream: Stream = None,
        ids: Annotated[
            list[Id] | None,
            Field(
                description="Ids that read_stream(dead=true) shows.",
                min_length=1,
                max_length=schemas.MAX_COUNT,
            ),
        ] = None,
        reason: Annotated[
            str | None, Field(description="Whose reason contains this.", min_length=1, max_length=300)
        ] = None,
        event_type: Annotated[
            str | None, Field(description="Of this type.", min_length=1, max_length=100)
        ] = None,
        channel: Annotated[
            str | None, Field(description="Of this channel.", min_length=1, max_length=100)
        ] = None,
        user: Annotated[str | None, Field(description="By this user.", min_length=1, max_length=100)] = None,
        contains: Annotated[
            str | None, Field(description="With these words.", min_length=1, max_length=200)
        ] = None,
        group: Annotated[
            str | None, Field(description="Given up on by this group.", min_length=1, max_length=512)
        ] = None,
        handler: Annotated[
            str | None, Field(description="Of this handler.", min_length=1, max_length=512)
        ] = None,
        since: Annotated[
            str | None,
            Field(
                description="Buried from this point on, as in 1d.",
                min_length=1,
                max_length=41,
            ),
        ] = None,
        until: Until = None,
        all: Annotated[  # noqa: A002 - the name that a model expects
            bool, Field(description="All of them; needed without ids and filters.", strict=True)
        ] = False,
        dry_run: Annotated[
            bool, Field(description="Only say what would be done; true by default.", strict=True)
        ] = True,
        confirm: Confirm = False,  # noqa: ARG002 - what was asked before counts
    ) -> CallToolResult:
        """Send dead letters back to work."""
        chosen: AskedLetters = {
            "ids": ids or (),
            "reason": reason,
            "event_type": event_type,
            "group": group,
            "handler": handler,
            "since": since,
            "until": until,
        }
        events: Asked = {"channel": channel, "user": user, "contains": contains}
        given = [name for name, value in [*chosen.items(), *events.items()] if value]
        if all and given:
            raise RequestError(
                "all=true means every dead letter of the stream: leave it out, or leave out "
                f"{', '.join(given)}."
            )
        if not (dry_run or all or given):
            raise RequestError(
                "Say which dead letters: ids, a filter such as reason or channel, or all=true. To see them "
                "with their ids: read_stream(dead=true), which takes channel, user, contains and more."
            )
        if not dry_run:
            self._permissions.check_change()
        result = safe(
            await (await self._operations()).redrive(stream=stream, dry_run=dry_run, events=events, **chosen)
        )
        return answer(plain(result), answer_text.redriven(result, is_chosen=bool(given)))
