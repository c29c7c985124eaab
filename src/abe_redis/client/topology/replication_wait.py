"""Writes that count as answered when replicas have them.

WAIT says how many replicas have received what its connection wrote before it
(https://redis.io/docs/latest/commands/wait/). Received is not on disk: a replica that dies with its
primary loses it, unless both keep an append-only file.
"""

from typing import Any, override

from redis import exceptions

from abe_redis.client.calls import Promise

WAIT_SECONDS = 1.0
"""How long replicas may take."""


class Writes(Promise):
    """Commands that share a WAIT; as `Promise`, which is kept when that is answered."""

    def __init__(self, replicas: int) -> None:
        """So many replicas must have what the commands wrote."""
        self._replicas = replicas
        self._written: list[Written] = []

    def add(self, promise: Promise) -> Promise:
        """Keep a promise when its command is done and the replicas have it.

        Returns:
            The promise to send the command with.
        """
        written = Written(promise)
        self._written.append(written)
        return written

    @override
    def done(self) -> bool:
        return False

    @override
    def set_result(self, result: int) -> None:
        if result >= self._replicas:
            for written in self._written:
                written.pass_on()
        else:
            problem = f"{result} of {self._replicas} replicas had it within {WAIT_SECONDS:g} s"
            self.set_exception(exceptions.ConnectionError(problem))

    @override
    def set_exception(self, error: Exception) -> None:
        for written in self._written:
            written.fail(error)


class Written(Promise):
    """A command that was sent and waits for replicas; as `Promise`."""

    __slots__ = ("_ended", "_promise", "_result")

    def __init__(self, promise: Promise) -> None:
        self._promise = promise
        self._result: Any = None
        self._ended = False

    @override
    def done(self) -> bool:
        return self._promise.done()

    @override
    def set_result(self, result: Any) -> None:
        self._result = result

    @override
    def set_exception(self, error: Exception) -> None:
        self.fail(error)

    def pass_on(self) -> None:
        """The replicas have it."""
        if not self._ended and not self._promise.done():
            self._ended = True
            self._promise.set_result(self._result)

    def fail(self, error: Exception) -> None:
        """It failed, or the replicas do not have it."""
        if not self._ended and not self._promise.done():
            self._ended = True
            self._promise.set_exception(error)
