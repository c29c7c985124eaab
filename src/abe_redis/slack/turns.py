"""Publishes the events of one conversation one after the other, so that none overtakes a retry."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Turns:
    """Turns in any number of conversations; who asks first has the first turn.

    Several event loops may use it at the same time. Each has turns of its own: a lock belongs to a loop.
    """

    def __init__(self) -> None:
        self._locks: dict[tuple[asyncio.AbstractEventLoop, str], anyio.Lock] = {}

    @asynccontextmanager
    async def turn(self, conversation: str | None) -> AsyncIterator[None]:
        """Wait for a turn, and have it for the duration of a block. Without a conversation there are none."""
        if conversation is None:
            yield
            return
        key = asyncio.get_running_loop(), conversation
        lock = self._locks.setdefault(key, anyio.Lock())
        try:
            async with lock:
                yield
        finally:
            facts = lock.statistics()
            if not facts.locked and not facts.tasks_waiting:
                self._locks.pop(key, None)
