"""Writes that count as answered only when replicas have them.

WAIT reports how many replicas have received the earlier writes of its connection
(https://redis.io/docs/latest/commands/wait/). Received is not on disk: a replica that dies with its
primary loses it, unless both keep an append-only file.
"""

from typing import Any, override

from abe_redis.client.calls import Promise, TooFewReplicasError, sent

WAIT_SECONDS = 1.0
"""Time for the replicas."""


class Writes(Promise):
    """Commands that share a WAIT, as the `Promise` of that WAIT."""

    def __init__(self, replicas: int) -> None:
        """Require this number of replicas."""
        self._replicas = replicas
        self._written: list[Written] = []

    def add(self, promise: Promise) -> Promise:
        """Add a command whose promise is kept when it is done and the replicas have it.

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
            self.set_exception(TooFewReplicasError(problem))

    @override
    def set_exception(self, error: Exception) -> None:
        for written in self._written:
            written.fail(sent(error))


class Written(Promise):
    """A command that waits for replicas, as a `Promise`."""

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
        """Note that the replicas have it."""
        if not self._ended and not self._promise.done():
            self._ended = True
            self._promise.set_result(self._result)

    def fail(self, error: Exception) -> None:
        """Note that it failed, or that the replicas do not have it."""
        if not self._ended and not self._promise.done():
            self._ended = True
            self._promise.set_exception(error)
