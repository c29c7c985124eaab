"""One connection to a server, from its opening to its end."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import KW_ONLY, dataclass
from time import monotonic
from typing import Any, cast

import hiredis
from redis import exceptions
from redis.asyncio.connection import DefaultParser

from abe_redis.client.address import Address, Find
from abe_redis.client.calls import Answer, HungUpError, Promise, Words, unsent
from abe_redis.client.sockets import connect
from abe_redis.client.writer import Writer
from abe_redis.runtime import fork, tasks

_pack: Callable[[Words], bytes] = cast("Any", hiredis.pack_command)  # its own type accepts only one word
_INCOMPLETE = object()
CLOSED = "the connection was closed"

_SECOND_LOOK_SECONDS = 0.05

_UNAUTHENTICATED = "Protocol error: unauthenticated "
"""The server's answer in place of NOAUTH to a command of more than 10 words, or with a word above 16 KiB."""


@dataclass(slots=True, eq=False)
class Terms:
    """Where a connection goes, and what it allows."""

    address: Address | Find
    _: KW_ONLY
    connect_seconds: float = 5.0
    """How long opening may take, the greeting included."""
    answer_seconds: float = 5.0
    """How long an answer may take before the connection counts as dead."""
    suspect_seconds: float = 0.8
    """How long a call waits before `on_silence` is called, and how often after that."""
    on_silence: Callable[[], None] | None = None
    """Finds out whether the server answers others while this connection is silent."""
    on_cross_slot: Callable[[], None] | None = None
    """Called when the server answered that the keys of a command belong to several slots."""
    max_calls: int = 4096
    """Most unanswered calls; further calls wait for their turn."""
    max_bytes: int = 16 * 1024 * 1024
    """Number of unanswered bytes at which further calls wait for their turn."""
    on_read_only: Callable[[], None] | None = None
    """Called when the server answered that it is a replica, after the caller has its error."""


class Wire(asyncio.Protocol):
    """A connection from its opening to its end. Each call on it is answered by it, or fails with it.

    So an answer always belongs to a call on the same connection, and the order tells to which.
    """

    def __init__(self, terms: Terms) -> None:
        self.loop = asyncio.get_running_loop()
        self.lost = False
        self.leads_to: Address | None = None
        """The server; None until it is found."""
        self._terms = terms
        self._since = monotonic()
        self._heard_at = 0.0
        """When the server last sent something, or took some of what the socket had kept back."""
        self._greeted = self._rereads_credentials = False
        # What waits for the greeting, or for its turn.
        self._queue: deque[tuple[Words, Promise]] = deque()
        # What is sent, with its bytes, and since when. The last of it may still wait in the writer.
        self._unanswered: deque[tuple[Promise, int, float]] = deque()
        self._unanswered_bytes = 0
        self._writer = Writer(self.loop)
        # Errors become redis-py's by its own table: `failures` need not know who spoke to the server.
        self._reader = hiredis.Reader(replyError=DefaultParser.parse_error, notEnoughData=_INCOMPLETE)
        self._socket: asyncio.Transport | None = None
        self._socket_closed = asyncio.Event()
        self._watch: asyncio.TimerHandle | None = None
        self._overdue: Promise | None = None
        self._opening = self.loop.create_task(self._open())
        fork.hears_of_forks(self)

    def call(self, words: Words, answer: Promise) -> None:
        """Send a command when it is its turn."""
        if not words:
            raise ValueError(
                "a command needs at least one word"
            )  # the server would skip it without an answer
        # While there is room, no call waits: each step that makes room sends the queued calls.
        if self._has_room():
            self._send(words, answer)
        else:
            self._queue.append((words, answer))

    @property
    def silent_seconds(self) -> float:
        """For how long nothing came while a call had no answer, or waited for the greeting.

        Who sends much at a time may wait long for the last answer, while one after the other comes.
        """
        if self._unanswered:
            return monotonic() - max(self._unanswered[0][2], self._heard_at)
        return monotonic() - self._since if self._queue else 0.0

    def drop(self, error: exceptions.RedisError) -> None:
        """Hang up now."""
        self._give_up(error)

    async def close(self) -> None:
        """Hang up, and wait until nothing of it is left."""
        self._give_up(exceptions.ConnectionError(CLOSED))
        await tasks.end(self._opening)
        if self._socket is not None:
            await self._socket_closed.wait()

    async def _open(self) -> None:
        seconds = self._terms.connect_seconds
        try:
            # An eager task would fail before the call that it is for waits in the queue.
            await asyncio.sleep(0)
            async with asyncio.timeout(seconds):
                where = self._terms.address
                to = where if isinstance(where, Address) else await where()
                self.leads_to = to
                self._socket = await connect(to, lambda: self)
                self._writer.open(self._socket.write)
                # Bytes that the socket does not accept at once collect in the writer, into one write, not in
                # the transport.
                self._socket.set_write_buffer_limits(high=1, low=0)
                self._rereads_credentials = to.credentials is not None
                await to.greet(self._greet)
            self._greeted = True
            self._send_queued()
        except TimeoutError:
            what = "no connection" if self._socket is None else "connected, but no answer"
            self._give_up(exceptions.TimeoutError(f"{what} within {seconds:g} s"))
        except exceptions.RedisError as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it
            self._give_up(exceptions.ConnectionError(f"no connection: {error}"))
        finally:
            if not self._greeted:  # cancelled
                self._give_up(exceptions.ConnectionError(CLOSED))

    def _greet(self, words: Words) -> Answer:
        answer: Answer = self.loop.create_future()
        self._send(words, answer)
        return answer

    def _has_room(self) -> bool:
        return (
            self._greeted
            and len(self._unanswered) < self._terms.max_calls
            and self._unanswered_bytes < self._terms.max_bytes
        )

    def _send_queued(self) -> None:
        while self._queue and self._has_room():
            words, answer = self._queue.popleft()
            if answer.done():  # its caller was cancelled
                continue
            try:
                self._send(words, answer)
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller must hear of it
                answer.set_exception(error)

    def _send(self, words: Words, answer: Promise) -> None:
        data = _pack(words)
        self._unanswered.append((answer, len(data), monotonic()))
        self._unanswered_bytes += len(data)
        self._writer.send(data)
        if self._watch is None:
            self._look_after(self._terms.answer_seconds)

    def _look_after(self, seconds: float) -> None:
        if self._terms.on_silence is not None:
            seconds = min(seconds, self._terms.suspect_seconds)
        self._watch = self.loop.call_later(max(seconds, _SECOND_LOOK_SECONDS), self._look)

    def _look(self) -> None:
        """Give up when the oldest call waits for too long."""
        self._watch = None
        if not self._unanswered:
            return
        oldest, _, since = self._unanswered[0]
        waited = monotonic() - since
        left = self._terms.answer_seconds - waited
        if left <= 0 and oldest is self._overdue:
            self._give_up(exceptions.TimeoutError(f"no answer within {self._terms.answer_seconds:g} s"))
            return
        # It may be our own loop that stood still: it gets a chance to read before that counts.
        self._overdue = oldest if left <= 0 else None
        silent = self._greeted and self.silent_seconds >= self._terms.suspect_seconds
        if silent and self._terms.on_silence is not None:
            self._terms.on_silence()
        self._look_after(left)

    def _give_up(self, error: exceptions.RedisError, *, hung_up: bool = False) -> None:
        """Hang up, and fail every unanswered call. Only the first error counts.

        With `hung_up`, the server did so first, and the greeting hears of that.
        """
        if self._socket is not None:
            self._socket.abort()
        if self.lost:
            return
        self.lost = True
        if self._greeted or not self._unanswered:  # else the greeting ends with the error of its command
            self._opening.cancel()
        if self._watch is not None:
            self._watch.cancel()
        sent = HungUpError(*error.args) if hung_up and not self._greeted else error
        # Copies: each of the many tasks that raise one writes its own traceback into it.
        answers = [(answer, copy(sent)) for answer, *_ in self._unanswered]
        answers += [(answer, unsent(copy(error))) for _, answer in self._queue]
        self._unanswered.clear()
        self._queue.clear()
        self._writer.clear()
        for answer, reason in answers:
            if not answer.done():
                answer.set_exception(reason)

    # What a fork calls.

    def before_fork(self) -> None:
        """Nothing to do: at a fork no step is half done that a child would continue."""

    def after_fork(self) -> None:
        """The parent goes on as it was."""

    def forked(self) -> None:
        """Let go of the socket: a child that read from it would take its parent's answers.

        Its number stays in use, so that a later close cannot close another file.
        """
        if self._socket is not None and (number := self._socket.get_extra_info("socket").fileno()) >= 0:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, number, inheritable=False)
            os.close(nothing)

    # What the event loop calls.

    def data_received(self, data: bytes) -> None:
        """Receive bytes from the server."""
        self._heard_at = monotonic()
        try:
            self._reader.feed(data)
            self._deliver()
        except Exception as error:  # noqa: BLE001 - of hiredis, or of redis-py on an odd error
            self._give_up(exceptions.ConnectionError(f"the server sent an invalid answer: {error}"))
            return
        # The callers that run now may send their next commands: all go in one write.
        self._writer.collect()
        self._send_queued()

    def _deliver(self) -> None:
        unanswered, demoted = self._unanswered, False
        for _ in range(len(unanswered) - self._writer.waiting):
            found = self._reader.gets()
            if found is _INCOMPLETE:
                break
            answer, size, _ = unanswered.popleft()
            self._unanswered_bytes -= size
            if answer.done():  # its caller was cancelled
                continue
            if isinstance(found, Exception):
                answer.set_exception(self._noted(found))
                demoted = demoted or isinstance(found, exceptions.ReadOnlyError)
            else:
                answer.set_result(found)
        else:
            if self._reader.has_data():
                found = self._reader.gets()
                raise ValueError(found if isinstance(found, Exception) else "nobody asked for it")
        if demoted:
            self._give_up(exceptions.ConnectionError("the server is a replica and takes no writes"))
            if self._terms.on_read_only is not None:
                self._terms.on_read_only()

    def _noted(self, error: Exception) -> Exception:
        """The error for the caller; some errors also change how later commands are sent."""
        if isinstance(error, exceptions.ClusterCrossSlotError) and self._terms.on_cross_slot is not None:
            self._terms.on_cross_slot()
        if str(error).startswith(_UNAUTHENTICATED):
            error = exceptions.AuthenticationError(str(error))
        if self._greeted and isinstance(error, exceptions.AuthenticationError):
            if self._rereads_credentials:
                error = exceptions.ConnectionError(f"the credentials were changed: {error}")
            # The next connection logs in again. The server would answer other calls on this one alike.
            self.loop.call_soon(self.drop, error)
        return error

    def pause_writing(self) -> None:
        """Stop: the socket is full."""
        self._writer.pause()

    def resume_writing(self) -> None:
        """Go on: the socket has room."""
        self._heard_at = monotonic()
        self._writer.resume()

    def eof_received(self) -> None:
        """Note that the server sends nothing more."""
        self._give_up(exceptions.ConnectionError("the server closed the connection"), hung_up=True)

    def connection_lost(self, error: Exception | None) -> None:
        """Note that nothing is left of the connection."""
        reason = f"the connection was lost: {error or 'closed'}"
        self._give_up(exceptions.ConnectionError(reason), hung_up=True)
        self._socket_closed.set()
