"""Cancels a handler that goes on although it was cancelled, as a bare `except:` lets it, without spinning.

anyio delivers a cancellation again on each turn of the event loop until the task ends. A handler that
swallows them would keep a core busy, so after a short time it gets one each second.
"""

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import anyio

AT_EACH_TURN_SECONDS = 0.1
"""How long anyio may deliver the cancellation on each turn."""

MANY = 20
"""More deliveries than this between two looks are a handler that swallows them."""

AGAIN_SECONDS = 1.0
"""Interval of the deliveries after that."""

OUTLASTS_SECONDS = 5.0
"""Time after its cancellation from which a coroutine is said to go on in spite of that."""

_LEFT = set[asyncio.Task[None]]()
"""Handlers for which no worker waits any more; the event loop alone would not keep them."""


def leave(task: asyncio.Task[None]) -> None:
    """Let a handler go on for which nobody waits."""
    _LEFT.add(task)
    task.add_done_callback(_LEFT.discard)


class Insistence:
    """The cancellation of one handler, from its beginning until the handler ends."""

    __slots__ = ("_alarms", "_delivered", "_is_slow", "_outlast", "_scope", "_task")

    def __init__(
        self,
        task: asyncio.Task[None],
        scope: "anyio.CancelScope",
        outlast: "Callable[[], None]",
    ) -> None:
        """Watch nothing yet.

        Args:
            task: The task of the handler.
            scope: The scope in it that is cancelled.
            outlast: Called when the handler goes on for too long.
        """
        self._task = task
        self._scope: Any = scope
        self._outlast = outlast
        self._delivered = 0
        self._is_slow = False
        self._alarms: list[asyncio.TimerHandle] = []

    def begin(self) -> None:
        """Begin to watch: the scope is cancelled now."""
        if not self._alarms:
            loop = asyncio.get_running_loop()
            self._alarms = [
                loop.call_later(OUTLASTS_SECONDS, self._outlast),
                loop.call_later(AT_EACH_TURN_SECONDS, self._look),
            ]

    @property
    def has_begun(self) -> bool:
        """Whether the handler was cancelled."""
        return bool(self._alarms)

    def end(self) -> None:
        """Stop saying that the handler goes on."""
        for alarm in self._alarms[:1]:
            alarm.cancel()

    def _look(self) -> None:
        if self._task.done():
            return
        since, self._delivered = self._task.cancelling() - self._delivered, self._task.cancelling()
        self._is_slow = self._is_slow or since > MANY
        if self._is_slow:
            self._deliver_once()
        self._alarms[1] = asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._look)

    def _deliver_once(self) -> None:
        """Deliver the cancellation past no shield, and not again on the next turn.

        anyio has no public way to do this; without its own, it goes on as it does.
        """
        deliver = getattr(self._scope, "_deliver_cancellation", None)
        if deliver is not None and (handle := getattr(self._scope, "_cancel_handle", None)) is not None:
            handle.cancel()
            deliver(self._scope)
            if (handle := self._scope._cancel_handle) is not None:  # noqa: SLF001
                handle.cancel()
