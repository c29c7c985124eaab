"""One command for all that is published to a stream at a time.

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

from redis.exceptions import NoScriptError

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
        self._gathering: dict[str, _Batch] = {}
        """The batch that the next event of a stream joins."""
        self._under_way: dict[str, int] = {}
        """How many batches of a stream are unanswered."""
        self._is_due = False

    def publish(self, draft: Draft) -> "asyncio.Future[Published]":
        """Add an event, unless one of its id was added before; as `streams.publish`.

        Sending it again with the same attempt is safe, whatever became of this.

        Returns:
            What became of it; or redis.ResponseError, when it was refused; redis.RedisError or
            TimeoutError, when nobody knows. To cancel it disturbs nobody else.
        """
        waiter: asyncio.Future[Published] = self._loop.create_future()
        stream = draft.stream
        batch = self._gathering.get(stream)
        if batch is None:
            batch = _Batch()
            if stream in self._under_way:
                self._gathering[stream] = batch
                if not self._is_due:
                    self._is_due = True
                    self._loop.call_soon(self._send_gathered)
            # Otherwise it is the first: it waits for nobody.
        batch.drafts.append(draft)
        batch.waiting.append(waiter)
        batch.size += draft.size
        if stream not in self._under_way or len(batch.drafts) == MOST or batch.size >= MOST_BYTES:
            self._gathering.pop(stream, None)
            self._send(stream, batch)
        return waiter

    def _send_gathered(self) -> None:
        self._is_due = False
        gathered, self._gathering = self._gathering, {}
        for stream, batch in gathered.items():
            if any(waiter.done() for waiter in batch.waiting):  # cancelled before anything was sent
                wanted = [at for at, waiter in enumerate(batch.waiting) if not waiter.done()]
                batch.drafts = [batch.drafts[at] for at in wanted]
                batch.waiting = [batch.waiting[at] for at in wanted]
            if batch.drafts:
                self._send(stream, batch)

    def _send(self, stream: str, batch: _Batch) -> None:
        self._under_way[stream] = self._under_way.get(stream, 0) + 1
        batch.timer = self._loop.call_later(self._answer_seconds, self._give_up, batch)
        self._send_batch(stream, batch)

    def _send_batch(self, stream: str, batch: _Batch) -> None:
        words = command(batch.drafts, hard_maxlen=self._hard_maxlen, in_full=batch.in_full)
        try:
            answer = self._send_words(words)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is theirs
            self._end(stream, batch, [error] * len(batch.waiting))
        else:
            answer.add_done_callback(lambda answer: self._answered(stream, batch, answer))

    def _answered(self, stream: str, batch: _Batch, answer: Answer) -> None:
        error = answer.exception()
        if error is None:
            self._end(stream, batch, answer.result())
        elif isinstance(error, NoScriptError) and not batch.in_full:
            batch.in_full = True
            self._send_batch(stream, batch)
        else:
            self._end(stream, batch, [error] * len(batch.waiting))

    def _end(self, stream: str, batch: _Batch, found: Sequence[Any]) -> None:
        left = self._under_way[stream] - 1
        if left:
            self._under_way[stream] = left
        else:
            del self._under_way[stream]
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
