"""The tool that adds events."""

from typing import Annotated, Any

from mcp.types import CallToolResult
from pydantic import Field

from abe_redis import schemas
from abe_redis.mcp import answer_text
from abe_redis.mcp.compat.sdk import answer
from abe_redis.mcp.overview_length import plain
from abe_redis.mcp.parameters import Stream
from abe_redis.mcp.tools.base import ToolSet
from abe_redis.operations.event_views import compact
from abe_redis.sanitize.untrusted import safe


class PublishingTools(ToolSet):
    """The tool that publishes."""

    async def publish_event(
        self,
        payload: Annotated[
            dict[str, Any],
            Field(
                description="The event, any JSON object; a Slack verification token is left out.",
                json_schema_extra={"properties": {"type": {"type": "string"}, "text": {"type": "string"}}},
            ),
        ],
        stream: Stream = None,
        event_id: Annotated[
            str | None,
            Field(
                description="The same id is added to a stream only once; by default a Slack envelope's own.",
                min_length=1,
                max_length=schemas.MAX_EVENT_ID,
            ),
        ] = None,
    ) -> CallToolResult:
        """Add an event."""
        self._permissions.check_payload(len(compact(payload).encode(errors="surrogatepass")))
        self._permissions.check_change()
        result = safe(
            await (await self._operations()).publish_event(payload, stream=stream, event_id=event_id)
        )
        return answer(plain(result), answer_text.published(result))
