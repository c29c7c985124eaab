"""The calls of a server that run now: they end, and record what they did, before the process ends."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from abe_redis.errors import RequestError

_ENDS = "This server ends. Nothing more is done here; what was done before is in the audit."


class RunningCalls:
    """The running calls of one server."""

    def __init__(self) -> None:
        self._scopes = set[anyio.CancelScope]()
        self._has_ended = False
        self._is_quiet = anyio.Event()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Know a call for the duration of a block.

        Raises:
            RequestError: The server ends.
        """
        scope = anyio.CancelScope()
        self._scopes.add(scope)
        if self._has_ended:
            scope.cancel()
        try:
            with scope:
                yield
        finally:
            self._scopes.discard(scope)
            if not self._scopes:
                self._is_quiet.set()
        if scope.cancelled_caught:
            raise RequestError(_ENDS)

    async def end(self, within: float) -> None:
        """Cancel all calls, and wait until those have ended that carry out a step of a change.

        Args:
            within: Seconds to wait at most.
        """
        self._has_ended = True
        for scope in self._scopes:
            scope.cancel()
        with anyio.move_on_after(within):
            while self._scopes:
                self._is_quiet = anyio.Event()
                await self._is_quiet.wait()
