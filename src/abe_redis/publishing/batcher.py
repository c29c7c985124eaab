"""One command for all that is published at a time.

A script call costs the server and us more than the event that it adds. What is published in one
turn of the event loop shares one; a lone event goes out at once and waits for nobody.

Everything here is done by whoever publishes and by the event loop's callbacks: there is no task
that could be left behind.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Protocol

from redis.exceptions import NoScriptError, ResponseError

from abe_redis.client import failures
from abe_redis.client.calls import Promise, Words
from abe_redis.streams.publish import Draft, command, published

if TYPE_CHECKING:
    from abe_redis.events.published import Published

MOST = 32
"""How many events share a command: with more, the server waits for us and we for the server."""

MOST_BYTES = 256 * 1024
"""With larger ones, so few that the server is not held up by them."""

_CHECKS = 10
"""How often in the time an answer may take it is looked whether one is overdue."""


class Way(Protocol):
    """Where commands go; `Client` is one."""

    def send(self, words: Words, promise: Promise) -> object:
        """Send a command, and keep the promise when it is answered."""

    def slot(self, key: str) -> int:
        """Streams of one slot may share a command."""


class Batcher:
    """Sends what is published, together where that costs nobody time."""

    def __init__(self, way: Way, *, hard_maxlen: int, answer_seconds: float) -> None:
        """Give it its way to the server, in the running event loop.

        Args:
            way: Where commands go.
            hard_maxlen: A stream of so many entries takes no more.
            answer_seconds: How long an answer may take, everything included.
        """
        self._way = way
        self._hard_maxlen = hard_maxlen
        self._answer_seconds = answer_seconds
        self._loop = asyncio.get_running_loop()
        self._gathering: dict[int, _Batch] = {}
        """Per slot, what the next event joins."""
        self._under_way: dict[_Batch, None] = {}
        """What is unanswered, the oldest first."""
        self._watch: asyncio.TimerHandle | None = None

    def publish(self, draft: Draft) -> "asyncio.Future[Published]":
        """Add an event, unless one of its id was added before; as `streams.publish`.

        Sending it again with the same attempt is safe, whatever became of this.

        Returns:
            What became of it; or redis.ResponseError, when it was refused; redis.RedisError or
            TimeoutError, when nobody knows. To cancel it disturbs nobody else.
        """
        waiter: asyncio.Future[Published] = self._loop.create_future()
        slot = self._way.slot(draft.stream)
        batch = self._gathering.get(slot)
        if batch is None:
            batch = _Batch(self._ended)
            if self._under_way:
                self._gathering[slot] = batch
                self._loop.call_soon(self._send_gathered, slot, batch)
        batch.add(draft, waiter)
        if slot not in self._gathering or len(batch.drafts) == MOST or batch.size >= MOST_BYTES:
            self._gathering.pop(slot, None)
            self._send(batch)
        return waiter

    def _send_gathered(self, slot: int, batch: "_Batch") -> None:
        if self._gathering.get(slot) is not batch:  # it was full, and has gone
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
            self._way.send(command(batch.drafts, hard_maxlen=self._hard_maxlen, in_full=batch.in_full), batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is theirs
            batch.set_exception(error)

    def _ended(self, batch: "_Batch", found: Sequence[Any] | Exception) -> None:
        self._under_way.pop(batch, None)
        if isinstance(found, NoScriptError) and not batch.in_full:
            batch.in_full = True
            self._send(batch)
        elif isinstance(found, ResponseError) and not failures.passes(found):
            self._send_by_stream(batch, found)
        else:
            batch.answer(found)

    def _send_by_stream(self, batch: "_Batch", error: ResponseError) -> None:
        """Send each stream's events by themselves: it may be one of them that we have no right to."""
        numbers: dict[str, list[int]] = {}
        for at, draft in enumerate(batch.drafts):
            numbers.setdefault(draft.stream, []).append(at)
        if len(numbers) == 1:
            batch.answer(error)
            return
        for of_one in numbers.values():
            self._send(batch.part(of_one))

    def _look(self) -> None:
        """Give up what has waited for too long."""
        self._watch = None
        now = time.monotonic()
        overdue = [batch for batch in self._under_way if now - batch.sent_at >= self._answer_seconds]
        for batch in overdue:
            del self._under_way[batch]
            batch.answer(TimeoutError(f"no answer within {self._answer_seconds:g} s"))
        if self._under_way:
            self._watch = self._loop.call_later(self._answer_seconds / _CHECKS, self._look)


class _Batch:
    """What one command adds, and who waits for it; the promise that is kept when it is answered."""

    __slots__ = ("_ended", "drafts", "in_full", "sent_at", "size", "waiting")

    def __init__(self, ended: "Callable[[_Batch, Sequence[Any] | Exception], None]") -> None:
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

    def answer(self, found: Sequence[Any] | Exception) -> None:
        """Give each its own answer, or all the failure."""
        rows = [found] * len(self.waiting) if isinstance(found, Exception) else found
        for draft, waiter, row in zip(self.drafts, self.waiting, rows, strict=True):
            if waiter.done():
                continue
            if isinstance(row, Exception):
                # A copy: each of the tasks that raise it writes its own traceback into it.
                waiter.set_exception(copy(row))
            else:
                waiter.set_result(published(draft, row))

    # As `Promise`.

    def done(self) -> bool:
        return False

    def set_result(self, result: Sequence[Any]) -> None:
        self._ended(self, result)

    def set_exception(self, error: Exception) -> None:
        self._ended(self, error)
