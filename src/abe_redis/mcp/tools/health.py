"""The tool that shows the health of the queue."""

import functools
from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from abe_redis.mcp import answer_text, event_text
from abe_redis.mcp.change_text import changed
from abe_redis.mcp.commands import advise
from abe_redis.mcp.compat.sdk import answer
from abe_redis.mcp.overview_length import OVERVIEW_CHARS, fit_overview, plain
from abe_redis.mcp.tools.base import ToolSet
from abe_redis.sanitize.untrusted import safe

STREAM_CHARS = 20_000
"""Characters of an answer about one stream."""


class HealthTools(ToolSet):
    """The tool about health."""

    async def stream_stats(
        self,
        stream: Annotated[
            str | None, Field(description="Only this one, in detail.", min_length=1, max_length=512)
        ] = None,
        changes: Annotated[bool, Field(description="Show what was changed last, and by whom.")] = False,
    ) -> CallToolResult:
        """The health of one stream, or of all; or what was changed there."""
        if changes:
            operations = await self._operations()
            found = await operations.changes(stream=stream)
            told = changed(found, operations.consumer, withholds=self._permissions.trust.withholds)
            return answer(told.structure(), told.text(event_text.tag()))
        result = safe(await (await self._operations()).stream_stats(stream=stream, parts_too=True))
        advise(result)
        shown = answer_text.stats if stream is None else answer_text.one_stream
        text = functools.partial(shown, hint=answer_text.next_step(result))
        fit_overview(result, text, OVERVIEW_CHARS if stream is None else STREAM_CHARS)
        return answer(plain(result), text(result))
