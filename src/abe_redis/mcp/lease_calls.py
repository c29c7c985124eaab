"""The calls that lease events, and what becomes of the events when nobody hears the answer.

A client that no longer waits says so (`notifications/cancelled`), even after the answer was sent, or it
closes its connection. What the call has leased is then given back at once, and the delivery does not count.
Over HTTP its words may overtake the call itself, which then leases nothing.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import anyio

from abe_redis.errors import RequestError
from abe_redis.mcp.client_identity import Identity

_TOOL = "lease_events"
_MOST = 1000
"""Most calls that are remembered, and most requests that were given up on."""

_UNHEARD = "Nobody waits for this answer any more, so nothing stays leased."

DELIVERY = "abe_redis.delivery"
"""The key of the delivery of a request's answer in its ASGI scope."""


@dataclass(slots=True)
class LeaseCall:
    """A call that leases events."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    take_back: Callable[[], Awaitable[None]] | None = None
    """Gives back what its answer shows; set once it has leased something."""
    is_given_up: bool = False
    _has_ended: bool = False

    async def give_up(self, *, ends: bool) -> None:
        """Note that nobody waits for its answer.

        Args:
            ends: Whether to end it; else somebody else does.
        """
        self.is_given_up = True
        if ends and not self._has_ended:
            self.scope.cancel()
        elif self._has_ended:
            await self._give_back()

    async def end(self) -> None:
        """Note that its answer is made.

        Raises:
            RequestError: Nobody waits for it any more.
        """
        self._has_ended = True
        if self.is_given_up:
            await self._give_back()
            raise RequestError(_UNHEARD)

    async def abandon(self) -> None:
        """Give back what it has leased: it failed or was cancelled, though its answer may be made."""
        self._has_ended = True
        with anyio.CancelScope(shield=True):
            await self._give_back()

    async def _give_back(self) -> None:
        take_back, self.take_back = self.take_back, None
        if take_back is not None:
            await take_back()


type _Key = tuple[Identity | None, str]
"""Who calls, and the id of the request."""


class Delivery:
    """The delivery of the answer of one request over HTTP."""

    def __init__(self) -> None:
        self.calls: list[LeaseCall] = []

    async def fail(self) -> None:
        """Note that the answer did not arrive."""
        for call in self.calls:
            await call.give_up(ends=True)


LEASE_CALL: ContextVar[LeaseCall | None] = ContextVar("lease_call", default=None)
"""The running call that leases events."""


class LeaseCalls:
    """The calls of one server that lease events, the running ones and those that were answered last."""

    def __init__(self) -> None:
        self._calls: OrderedDict[_Key, LeaseCall] = OrderedDict()
        self._given_up: OrderedDict[_Key, None] = OrderedDict()
        """Requests that were given up on and are not known as calls: they may still come."""

    @asynccontextmanager
    async def known(self, tool: str, caller: Identity | None, context: Any) -> AsyncIterator[None]:  # noqa: ANN401 - of either SDK line
        """Know a call, if it leases events, for the duration of a block and after that.

        Args:
            tool: What is called.
            caller: Who calls it.
            context: The SDK's context of the call.

        Raises:
            RequestError: Nobody waits for the answer any more.
        """
        request = _request(context) if tool == _TOOL else None
        if request is None:
            yield
            return
        key = caller, str(request.request_id)
        if key in self._given_up:
            del self._given_up[key]
            raise RequestError(_UNHEARD)
        call = LeaseCall()
        _remember(self._calls, key, call)
        if request.request is not None and (found := request.request.scope.get(DELIVERY)) is not None:
            found.calls.append(call)
        token = LEASE_CALL.set(call)
        try:
            with call.scope:
                yield
            await call.end()
        except BaseException:  # so there is no answer
            await call.abandon()
            raise
        finally:
            LEASE_CALL.reset(token)

    async def cancelled(self, caller: Identity | None, request_id: object) -> None:
        """Note that a client does not wait for the answer to a request, whether it was sent or not."""
        key = caller, str(request_id)
        if (call := self._calls.get(key)) is not None:
            await call.give_up(ends=False)
        else:
            _remember(self._given_up, key, None)


def _remember[Value](known: OrderedDict[_Key, Value], key: _Key, value: Value) -> None:
    """Remember the newest; a client that gave up on an older one has to call `release`."""
    known[key] = value
    known.move_to_end(key)
    while len(known) > _MOST:
        known.popitem(last=False)


def _request(context: Any) -> Any:  # noqa: ANN401 - the SDK's
    try:
        return context.request_context
    except (ValueError, LookupError):  # outside of a request
        return None
