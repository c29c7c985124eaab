"""The connection of the hot path: one connection, and one write for all simultaneous callers.

A command of redis-py costs a write, a read and a timer of its own. Here a write carries every
command that is ready; Redis answers in the order of the commands, so each answer goes to the next
caller in line. `wire` is one connection, `writer` collects what goes out on it.

Nothing is ever sent twice: who knows that a command may be repeated repeats it.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from redis import exceptions

from abe_redis.client.address import Address
from abe_redis.client.calls import Answer, Promise, Word, Words
from abe_redis.client.wire import CLOSED, Terms, Wire


@dataclass(slots=True, eq=False)
class Transport(Terms):
    """The shared way to one server: the first call opens it, and so does the first call after a loss.

    It belongs to the event loop of its first call. The connection is shared, so it is not for
    commands that block, nor for those that change the connection itself: SUBSCRIBE, MULTI, SELECT,
    CLIENT REPLY and their like.
    """

    _wire: Wire | None = field(init=False, default=None, repr=False)
    _closed: bool = field(init=False, default=False, repr=False)

    async def call(self, *words: Word) -> Any:  # noqa: ANN401
        """Send a command, once, and wait for its answer.

        It goes out at once, in one write with the commands that others send at the same time. A caller may be
        cancelled at any time: the command may be executed all the same, and its answer is dropped.

        Returns:
            The answer, with strings as bytes; an error inside an array is left where it is.

        Raises:
            redis.ConnectionError: The server was not reached, or was lost before it answered.
            redis.TimeoutError: It did not let us in, or did not answer, in time.
            redis.AuthenticationError: It refused the user name or password.
            redis.RedisError: It answered with an error; redis-py's class for it.
            RuntimeError: The transport belongs to another event loop.
        """
        answer: Answer = asyncio.get_running_loop().create_future()
        self.send(words, answer)
        return await answer

    def send(self, words: Words, promise: Promise) -> None:
        """Send a command, once; the promise receives what `call` would return.

        Raises:
            TypeError: An argument has a type that Redis does not accept.
            ValueError: It is empty.
            redis.ConnectionError: The transport is closed.
            RuntimeError: The transport belongs to another event loop.
        """
        wire = self._wire
        if wire is None or wire.lost or wire.loop is not asyncio.get_running_loop():
            wire = self._connect()
        wire.call(words, promise)

    @property
    def silent_seconds(self) -> float:
        """For how long the oldest call has had no answer; 0 when none waits."""
        return 0.0 if self._wire is None else self._wire.silent_seconds

    @property
    def leads_to(self) -> Address | None:
        """The server to which the latest connection was opened; None until that is known."""
        return None if self._wire is None else self._wire.leads_to

    def drop(self, reason: str) -> None:
        """Hang up; waiting calls fail with redis.ConnectionError, and the next call connects again."""
        if self._wire is not None:
            self._wire.drop(exceptions.ConnectionError(reason))

    async def close(self) -> None:
        """Hang up for good; calls that wait, and later ones, fail with redis.ConnectionError.

        Raises:
            RuntimeError: The transport belongs to another event loop.
        """
        self._check_loop()
        self._closed = True
        if self._wire is not None:
            await self._wire.close()

    def _connect(self) -> Wire:
        self._check_loop()
        if self._closed:
            raise exceptions.ConnectionError(CLOSED)
        self._wire = Wire(self)
        return self._wire

    def _check_loop(self) -> None:
        if self._wire is not None and self._wire.loop is not asyncio.get_running_loop():
            raise RuntimeError(
                "This connection belongs to another event loop: the one of its first call. Use a backend "
                "in each loop, or SyncBackend where there is none."
            )
