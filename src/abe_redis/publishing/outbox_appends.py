"""Writes events into the outbox: those that come while one is being written go together in the next commit.

Each commit waits for the disk. One by one, a burst would wait for longer than Slack does.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import anyio

from abe_redis.errors import OutboxError
from abe_redis.publishing.outbox_file import OutboxFile
from abe_redis.publishing.outbox_rows import Append, Row

_MOST = 64
"""Most events of one commit."""

type _InThread = Callable[[Callable[[Sequence[Append]], None], Sequence[Append]], Awaitable[None]]


class Appends:
    """The events of this process that are about to be written. The first that waits writes for all."""

    def __init__(self, file: OutboxFile, in_thread: _InThread) -> None:
        """Begin without any.

        Args:
            file: Where to.
            in_thread: Runs a blocking function to its end, also if the caller is cancelled.
        """
        self._file = file
        self._in_thread = in_thread
        self._waiting: list[Append] = []
        self._turn = anyio.Lock()
        self._streams = Counter[str]()

    def are_of(self, stream: str) -> bool:
        """Whether an event of this stream is about to be written."""
        return stream in self._streams

    async def append(self, row: Row, until: float, *, behind: bool = False) -> int | None:
        """Write an event.

        Args:
            row: The event.
            until: Monotonic time until which to wait for another process's lock on the file.
            behind: Whether only behind others of its stream that this process forwards.

        Returns:
            Its number; None when there are no such others.

        Raises:
            OutboxError: It is not written.
        """
        mine = Append(row=row, until=until, behind=behind)
        self._waiting.append(mine)
        self._streams[row.draft.stream] += 1
        try:
            async with self._turn:
                if not mine.is_done:
                    some, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                    await self._in_thread(self._write, some)
        finally:
            with suppress(ValueError):  # a cancelled one leaves nothing behind
                self._waiting.remove(mine)
            self._streams -= Counter([row.draft.stream])
        if mine.error is not None:
            raise mine.error
        return mine.number

    def _write(self, some: Sequence[Append]) -> None:
        try:
            self._file.append_all(some)
        except OutboxError as error:
            if len(some) == 1:
                some[0].error = error
            else:  # one alone may be what does not fit
                for one in some:
                    self._write([one])
        for one in some:
            one.is_done = True
