"""One command for all that is published at a time.

A script call costs the server and us more than the event that it adds. What is published in one
turn of the event loop shares one; a lone event goes out at once and waits for nobody.

Everything here is done by whoever publishes and by the event loop's callbacks: there is no task
that could be left behind.
"""

import asyncio
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from abe_redis import faults
from abe_redis.streams.publish import Draft, Published, command, published
from abe_redis.transport import Answer, Words

MOST = 32
"""How many events share a command: with more, the server waits for us and we for the server."""

MOST_BYTES = 256 * 1024
"""With larger ones, so few that the server is not held up by them."""


@dataclass(slots=True, eq=False)
class _Batch:
    """What one command adds, and who waits for it."""

    drafts: list[Draft] = field(default_factory=list)
    waiting: list["asyncio.Future[Published]"] = field(default_factory=list)
    size: int = 0
    in_full: bool = False
    """Whether the script itself was sent, since the server did not know it."""
    timer: asyncio.TimerHandle | None = None

    def part(self, numbers: Sequence[int]) -> "_Batch":
        return _Batch([self.drafts[at] for at in numbers], [self.waiting[at] for at in numbers])


class Coalescer:
    """Sends what is published, together where that costs nobody time."""

    def __init__(self, send: Callable[[Words], Answer], *, hard_maxlen: int, answer_seconds: float) -> None:
        """Give it its way to the server.

        Args:
            send: Sends a command and promises its answer; it belongs to the running event loop.
            hard_maxlen: A stream of so many entries takes no more.
            answer_seconds: How long an answer may take, everything included.
        """
        self._send_words = send
        self._hard_maxlen = hard_maxlen
        self._answer_seconds = answer_seconds
        self._loop = asyncio.get_running_loop()
        self._gathering: _Batch | None = None
        """What the next event joins."""
        self._unanswered = 0
        """How many commands are under way."""

    def publish(self, draft: Draft) -> "asyncio.Future[Published]":
        """Add an event, unless one of its id was added before; as `streams.publish`.

        Sending it again with the same attempt is safe, whatever became of this.

        Returns:
            What became of it; or redis.ResponseError, when it was refused; redis.RedisError or
            TimeoutError, when nobody knows. To cancel it disturbs nobody else.
        """
        waiter: asyncio.Future[Published] = self._loop.create_future()
        batch = self._gathering
        if batch is None:
            batch = _Batch()
            if self._unanswered:
                self._gathering = batch
                self._loop.call_soon(self._send_gathered, batch)
        batch.drafts.append(draft)
        batch.waiting.append(waiter)
        batch.size += draft.size
        if self._gathering is None or len(batch.drafts) == MOST or batch.size >= MOST_BYTES:
            self._gathering = None
            self._send(batch)
        return waiter

    def _send_gathered(self, batch: _Batch) -> None:
        if self._gathering is not batch:  # it was full, and has gone
            return
        self._gathering = None
        if any(waiter.done() for waiter in batch.waiting):  # cancelled before anything was sent
            batch = batch.part([at for at, waiter in enumerate(batch.waiting) if not waiter.done()])
        if batch.drafts:
            self._send(batch)

    def _send(self, batch: _Batch) -> None:
        self._unanswered += 1
        if batch.timer is None:
            batch.timer = self._loop.call_later(self._answer_seconds, self._give_up, batch)
        words = command(batch.drafts, hard_maxlen=self._hard_maxlen, in_full=batch.in_full)
        try:
            answer = self._send_words(words)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is theirs
            self._unanswered -= 1
            self._end(batch, [error] * len(batch.waiting))
        else:
            answer.add_done_callback(lambda answer: self._answered(batch, answer))

    def _answered(self, batch: _Batch, answer: Answer) -> None:
        self._unanswered -= 1
        error = answer.exception()
        if error is None:
            self._end(batch, answer.result())
        elif isinstance(error, NoScriptError) and not batch.in_full:
            batch.in_full = True
            self._send(batch)
        elif isinstance(error, ResponseError) and not faults.passes(error):
            self._send_by_stream(batch, error)
        else:
            self._end(batch, [error] * len(batch.waiting))

    def _send_by_stream(self, batch: _Batch, error: ResponseError) -> None:
        """Send each stream's events by themselves: it may be one of them that we have no right to."""
        numbers: dict[str, list[int]] = {}
        for at, draft in enumerate(batch.drafts):
            numbers.setdefault(draft.stream, []).append(at)
        if len(numbers) == 1:
            self._end(batch, [error] * len(batch.waiting))
            return
        for of_one in numbers.values():
            self._send(batch.part(of_one))
        if batch.timer is not None:
            batch.timer.cancel()

    def _end(self, batch: _Batch, found: Sequence[Any]) -> None:
        if batch.timer is not None:
            batch.timer.cancel()
        for waiter, one in zip(batch.waiting, found, strict=True):
            if waiter.done():
                continue
            if isinstance(one, BaseException):
                # A copy: each of the tasks that raise it writes its own traceback into it.
                waiter.set_exception(copy(one))
            else:
                waiter.set_result(published(one))

    def _give_up(self, batch: _Batch) -> None:
        for waiter in batch.waiting:
            if not waiter.done():
                waiter.set_exception(TimeoutError(f"no answer within {self._answer_seconds:g} s"))
