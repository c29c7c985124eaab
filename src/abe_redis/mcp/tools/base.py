"""The parts that all tools share: the operations, the permissions, and answers with events."""

from typing import TYPE_CHECKING

from mcp.types import CallToolResult

from abe_redis.errors import RequestError
from abe_redis.mcp import access, event_text
from abe_redis.mcp.agent_events import AgentRead, Payload, agent_read
from abe_redis.mcp.answer_length import fit
from abe_redis.mcp.compat.sdk import answer, text_answer
from abe_redis.mcp.overview_length import plain
from abe_redis.mcp.permissions import Permissions
from abe_redis.operations.event_views import compact
from abe_redis.runtime.shell import command
from abe_redis.sanitize.untrusted import quoted, shown
from abe_redis.schemas import ReadResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from abe_redis.operations.operations import Operations

CHARS = 8000
"""Most characters of an answer, unless the call says otherwise."""


class ToolSet:
    """Tools of one server."""

    def __init__(self, operations: "Callable[[], Awaitable[Operations]]", permissions: Permissions) -> None:
        """Create the tools without I/O.

        Args:
            operations: Returns the operations; called at each tool call, so that the first one can create
                them.
            permissions: What an agent may do.
        """
        self._operations = operations
        self._permissions = permissions

    def _check_there(self, result: ReadResult, named: str | None) -> None:
        """Refuse what a call named and what is not there; a default may be still to come.

        Raises:
            RequestError: The stream, or the event that was looked for, is not there.
        """
        if result.missing and named is not None:
            raise RequestError(result.note)

    async def _fitted(
        self, result: ReadResult, payload: Payload, max_chars: int
    ) -> tuple[CallToolResult, AgentRead]:
        """The answer with these events, and those of them that it shows.

        People's words are only in its text, unless the caller asks for a structure: several clients show
        their model only the structure of an answer that has one.
        """
        made = await agent_read(result, payload, max_chars=max_chars, trust=self._permissions.trust)
        fence, structured = event_text.tag(), self._permissions.structured
        may = self._may_redrive if made.dead else self._may_lease
        may_change = not self._permissions.read_only and may(made)
        step = self._about_redriving(made.stream) if made.dead and made.events and not may_change else ""

        def text(part: AgentRead) -> str:
            return "\n".join(filter(None, [event_text.read(part, fence, may_change=may_change), step]))

        def size(part: AgentRead) -> int:
            return len(text(part)) + (len(compact(plain(part))) if structured else 0)

        await fit(made, size, max_chars, halves=2 if structured else 1)
        if structured:
            return answer(plain(made), text(made)), made
        return text_answer(text(made)), made

    def _may_lease(self, made: AgentRead) -> bool:
        """Whether the caller may work in the group, or in one of the stream's groups, or in a new one."""
        if made.group is not None:
            return self._may_work_in(made.group, made)
        return not made.groups or any(self._may_work_in(group.name, made) for group in made.groups)

    def _may_work_in(self, group: str, made: AgentRead) -> bool:
        try:
            self._permissions.check_group(group, made.stream)
        except RequestError:
            return False
        return True

    def _about_redriving(self, stream: str) -> str:
        """The sentence about how dead letters of a stream go back to work, as far as the caller may."""
        by_hand = f"the user can run `{command('dead redrive', shown(stream))}`"
        if self._permissions.read_only:
            return f"This server was started with --read-only: to deliver dead letters again, {by_hand}."
        try:
            access.check("redrive")
        except RequestError as error:
            return str(error)
        whose = event_text.whole(stream)
        said = f'To deliver some again: redrive(stream={whose}, ids=["ID"]), or with a filter.'
        if groups := self._permissions.groups:
            those = ", ".join(map(quoted, groups))
            said += (
                f" It is allowed for the groups {those} only: for others this server needs the option "
                f"--groups, or {by_hand}."
            )
        return said

    def _may_redrive(self, made: AgentRead) -> bool:
        """Whether the caller may deliver one of these dead letters again."""
        for event in made.events:
            try:
                access.check("redrive")
                with access.within("redrive"):
                    self._permissions.check_group(event.group or "", made.stream)
            except RequestError:
                continue
            return True
        return False
