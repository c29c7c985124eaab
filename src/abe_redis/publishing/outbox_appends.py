"""Writes events into the outbox: those that come while one is being written go together in the next commit.

Each commit waits for the disk. One by one, a burst would wait for longer than Slack does.
"""

import threading
from collections import Counter
from contextlib import suppress

import anyio

from abe_redis.errors import OutboxError
from abe_redis.publishing import outbox_failures
from abe_redis.publishing.outbox_file import OutboxFile
from abe_redis.publishing.outbox_rows import Append, Row
from abe_redis.publishing.outbox_thread import FileThread

_MOST = 64
"""Most events of one commit."""


class Appends:
    """The events of this process that are about to be written. The first that waits writes for all.

    An event waits here until a thread takes it that has begun to write. So nothing is lost with a caller that
    is cancelled, or that gets no thread: the next one that waits writes what is here.
    """

    def __init__(self, file: OutboxFile, thread: FileThread) -> None:
        """Begin without any.

        Args:
            file: Where to.
            thread: Calls the file.
        """
        self._file = file
        self._thread = thread
        self._waiting: list[Append] = []
        self._changing = threading.Lock()
        """Held while `_waiting` changes, which the loop and a thread do."""
        self._writing = threading.Lock()
        """Held by the thread that writes, which goes on when its caller is cancelled; the next one waits."""
        self._turn = anyio.Lock()
        self._streams = Counter[str]()

    def are_of(self, stream: str) -> bool:
        """Whether an event of this stream is about to be written."""
        return stream in self._streams

    async def append(self, row: Row, until: float) -> int:
        """Write an event.

        Args:
            row: The event.
            until: Monotonic time until which to wait for another process's lock on the file.

        Returns:
            Its number.

        Raises:
            OutboxError: It is not written.
        """
        number = await self._written(Append(row=row, until=until))
        if number is None:
            raise outbox_failures.unforeseen(self._file.path, "the file has no number for the event")
        return number

    async def append_behind(self, row: Row, until: float) -> int | None:
        """Write an event behind others of its stream that this process forwards.

        Args:
            row: The event.
            until: As for `append`.

        Returns:
            Its number; None when there are no such others: then it is not written.

        Raises:
            OutboxError: It is not written.
        """
        return await self._written(Append(row=row, until=until, behind=True))

    async def _written(self, mine: Append) -> int | None:
        stream = mine.row.draft.stream
        with self._changing:
            self._waiting.append(mine)
        self._streams[stream] += 1
        try:
            async with self._turn:
                while not mine.is_done:
                    await self._thread.run(self._write_some)
        finally:
            with self._changing, suppress(ValueError):  # a cancelled one leaves nothing behind
                self._waiting.remove(mine)
            self._streams -= Counter([stream])
        if mine.error is not None:
            raise mine.error
        return mine.number

    def _write_some(self) -> None:
        with self._writing:
            with self._changing:
                some = self._waiting[:_MOST]
                del self._waiting[:_MOST]
            try:
                self._write(some)
            finally:
                with self._changing:
                    self._waiting[:0] = [one for one in some if not one.is_done]

    def _write(self, some: list[Append]) -> None:
        if not some:
            return
        try:
            self._file.append_all(some)
        except Exception as error:  # noqa: BLE001 - each caller gets what became of its own event
            if len(some) == 1:
                some[0].error = self._as_outbox_error(error)
            else:  # one alone may be what does not fit
                for one in some:
                    self._write([one])
        for one in some:
            one.is_done = True

    def _as_outbox_error(self, error: Exception) -> OutboxError:
        if isinstance(error, OutboxError):
            return error
        return outbox_failures.unforeseen(self._file.path, error)
