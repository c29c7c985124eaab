"""Batches events that are published at the same time into one command.

A script call costs the server and us more than the event that it adds. Events that are published in one turn
of the event loop share a call; a lone event goes out at once.

Only the publishing calls and callbacks of the event loop run here: there is no task that could be left
behind.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Protocol

from redis.exceptions import ConnectionError as LostError
from redis.exceptions import NoScriptError, ResponseError

from abe_redis.client import failures
from abe_redis.client.calls import Promise, Words
from abe_redis.publishing.waiter import Waiter
from abe_redis.sanitize.exceptions import describe
from abe_redis.streams import seen
from abe_redis.streams.publish import Answer, Draft, Row, command, rows

if TYPE_CHECKING:
    from abe_redis.events.published import Published

MOST = 32
"""Most events per command: with more, server and client wait for each other."""

MOST_BYTES = 256 * 1024
"""Most bytes per command, so that large events do not block the server."""

_CHECKS = 10
"""Checks for overdue answers per answer timeout."""


class Way(Protocol):
    """Sends commands; `Client` satisfies it."""

    def send(self, words: Words, promise: Promise) -> object:
        """Send a command whose answer goes to the promise."""

    def slot(self, key: str) -> int:
        """Streams of one slot may share a command."""


class Batcher:
    """Sends events in batches, without delaying any of them."""

    def __init__(self, way: Way, views: seen.Views, *, hard_maxlen: int, answer_seconds: float) -> None:
        """Create it in the running event loop.

        Args:
            way: Sends the commands.
            views: What is known of how streams remember.
            hard_maxlen: Most entries of a stream.
            answer_seconds: Time for an answer, everything included.
        """
        self._way = way
        self._hard_maxlen = hard_maxlen
        self._answer_seconds = answer_seconds
        self._views = views
        self._loop = asyncio.get_running_loop()
        self._gathering: dict[int, _Batch] = {}
        """Per slot, the batch that the next event joins."""
        self._under_way: dict[_Batch, None] = {}
        """The unanswered batches, the oldest first."""
        self._watch: asyncio.TimerHandle | None = None

    def publish(self, draft: Draft) -> "asyncio.Future[Published]":
        """Add an event, unless one of its id was added before; as `streams.publish`.

        It is safe to send it again with the same attempt, whatever the result of this call was.

        Returns:
            The result; or redis.ResponseError when it was refused; or redis.RedisError or TimeoutError when
            the result is unknown. Cancelling the call does not disturb others.
        """
        slot = self._way.slot(draft.stream)
        batch = self._gathering.get(slot)
        waiter: asyncio.Future[Published]
        if batch is not None:
            waiter = self._loop.create_future()
        else:
            # Only the first of a batch can be alone in it.
            waiter = Waiter(loop=self._loop)
            batch = _Batch(self._ended)
            if self._under_way:
                self._loop.call_soon(self._send_gathered, slot, batch)
                self._gathering[slot] = batch
        batch.add(draft, waiter)
        if len(batch.drafts) == MOST or batch.size >= MOST_BYTES or slot not in self._gathering:
            self._gathering.pop(slot, None)
            self._send(batch)
        return waiter

    def _send_gathered(self, slot: int, batch: "_Batch") -> None:
        if self._gathering.get(slot) is not batch:  # it was full and has been sent
            return
        del self._gathering[slot]
        if any(waiter.done() for waiter in batch.waiting):  # cancelled before anything was sent
            batch = batch.part([at for at, waiter in enumerate(batch.waiting) if not waiter.done()])
        if batch.drafts:
            self._send(batch)

    def _send(self, batch: "_Batch") -> None:
        self._under_way[batch] = None
        batch.sent_at = time.monotonic()
        if self._watch is None:
            self._watch = self._loop.call_later(self._answer_seconds / _CHECKS, self._look)
        try:
            words = command(batch.drafts, self._views, hard_maxlen=self._hard_maxlen, in_full=batch.in_full)
            self._way.send(words, batch)
        except Exception as error:  # noqa: BLE001 - the callers get every failure
            batch.set_exception(error)

    def _ended(self, batch: "_Batch", found: Answer | Exception) -> None:
        self._under_way.pop(batch, None)
        try:
            self._pass_on(batch, found)
        except Exception as error:
            # Nothing watches over this batch any more, and the connection knows its other calls only.
            batch.fail(LostError(f"the server sent an invalid answer: {describe(error)}"))
            raise

    def _pass_on(self, batch: "_Batch", found: Answer | Exception) -> None:
        if isinstance(found, NoScriptError) and not batch.in_full:
            batch.in_full = True
            self._send(batch)
        elif isinstance(found, ResponseError) and not failures.passes(found):
            self._send_by_stream(batch, found)
        elif isinstance(found, Exception):
            batch.fail(found)
        else:
            found_rows = rows(batch.drafts, self._views, found)
            if again := [at for at, row in enumerate(found_rows) if row is None]:
                self._send(batch.part(again))  # before those are answered who may send the next
            batch.answer(found_rows)

    def _send_by_stream(self, batch: "_Batch", error: ResponseError) -> None:
        """Send each stream's events separately, since this user may lack permission for only one of them."""
        numbers: dict[str, list[int]] = {}
        for at, draft in enumerate(batch.drafts):
            numbers.setdefault(draft.stream, []).append(at)
        if len(numbers) == 1:
            batch.fail(error)
            return
        for of_one in numbers.values():
            self._send(batch.part(of_one))

    def _look(self) -> None:
        """Fail batches that have waited for too long."""
        self._watch = None
        now = time.monotonic()
        overdue = [batch for batch in self._under_way if now - batch.sent_at >= self._answer_seconds]
        for batch in overdue:
            del self._under_way[batch]
            batch.fail(TimeoutError(f"no answer within {self._answer_seconds:g} s"))
        if self._under_way:
            self._watch = self._loop.call_later(self._answer_seconds / _CHECKS, self._look)


class _Batch:
    """The events of one command and their callers, as the `Promise` of the command."""

    __slots__ = ("_ended", "drafts", "in_full", "sent_at", "size", "waiting")

    def __init__(self, ended: "Callable[[_Batch, Answer | Exception], None]") -> None:
        self.drafts: list[Draft] = []
        self.waiting: list[asyncio.Future[Published]] = []
        self.size = 0
        self.sent_at = 0.0
        self.in_full = False
        """Whether the script itself was sent, since the server did not know it."""
        self._ended = ended

    def add(self, draft: Draft, waiter: "asyncio.Future[Published]") -> None:
        self.drafts.append(draft)
        self.waiting.append(waiter)
        self.size += draft.size

    def part(self, numbers: Sequence[int]) -> "_Batch":
        part = _Batch(self._ended)
        for at in numbers:
            part.add(self.drafts[at], self.waiting[at])
        return part

    def fail(self, error: Exception) -> None:
        """Give the failure to every caller."""
        self.answer([error] * len(self.waiting))

    def answer(self, found: Sequence[Row]) -> None:
        """Give each caller its own answer or failure, unless it has none yet."""
        is_alone = len(self.waiting) == 1
        for waiter, row in zip(self.waiting, found, strict=True):
            if row is None or waiter.done():
                continue
            if isinstance(row, Exception):
                # A copy: each of the tasks that raise it writes its own traceback into it.
                waiter.set_exception(copy(row))
            elif is_alone and isinstance(waiter, Waiter):
                # Nothing else waits for the answer to a lone event, so its task may run at once.
                waiter.resume(row)
            else:
                waiter.set_result(row)

    # As `Promise`.

    def done(self) -> bool:
        return False

    def set_result(self, result: Answer) -> None:
        self._ended(self, result)

    def set_exception(self, error: Exception) -> None:
        self._ended(self, error)
