"""A request that its client gives up on just as it is answered gets one answer, also from SDK 1.x.

Line 1.x answers a request that is cancelled. If its handler had nothing to wait for any more, the SDK answers
it once more and fails at that; if its answer is under way, that is cancelled, and everything with it. Over
stdio the process ends then, over HTTP the session.
"""

from typing import TYPE_CHECKING, Any

from abe_redis.mcp.sdk_line import SDK_2

if TYPE_CHECKING or not SDK_2:
    from mcp.shared import session

    class _AnswersOnce(session.RequestResponder[Any, Any]):
        """A request of which whoever answers first, the handler or the cancellation, has the only word."""

        async def respond(self, response: Any) -> None:  # noqa: ANN401 - the SDK's
            if not self._completed:
                await super().respond(response)

        async def cancel(self) -> None:
            # One that has not begun is answered: whoever gave up on it does not look at that.
            if self._entered and not self._completed:
                await super().cancel()


def answer_once() -> None:
    """Let the sessions of this process answer each request once; a second call changes nothing."""
    if not SDK_2:
        session.RequestResponder = _AnswersOnce  # type: ignore[misc]
