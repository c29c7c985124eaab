"""A write that counts as answered when replicas have it.

WAIT says how many replicas have received what its connection wrote before it
(https://redis.io/docs/latest/commands/wait/). Received is not on disk: a replica that dies with its
primary loses it, unless both keep an append-only file.
"""

from typing import Any

from redis import exceptions

from abe_redis.transport import Promise

WAIT_SECONDS = 1.0
"""How long replicas may take."""


class Written:
    """The answers to a command and to the WAIT behind it become the answer to one who waits for both."""

    def __init__(self, promise: Promise, replicas: int) -> None:
        """Pass on to `promise` what the command answered, when so many replicas have it."""
        self.command = _Part(self._commanded, promise)
        self.wait = _Part(self._waited, promise)
        self._promise = promise
        self._replicas = replicas
        self._result: Any = None
        self._failed = False

    def _commanded(self, result: Any, error: Exception | None) -> None:  # noqa: ANN401
        self._result = result
        if error is not None:
            self._failed = True  # and whatever WAIT says does not matter
            self._promise.set_exception(error)

    def _waited(self, result: Any, error: Exception | None) -> None:  # noqa: ANN401
        if self._failed or self._promise.done():
            return
        if error is not None:
            self._promise.set_exception(error)
        elif result < self._replicas:
            self._promise.set_exception(
                exceptions.ConnectionError(
                    f"{result} of {self._replicas} replicas had it within {WAIT_SECONDS:g} s"
                )
            )
        else:
            self._promise.set_result(self._result)


class _Part:
    """As `Promise`."""

    def __init__(self, ended: Any, promise: Promise) -> None:  # noqa: ANN401
        self._ended = ended
        self._promise = promise

    def done(self) -> bool:
        return False

    def set_result(self, result: Any) -> None:  # noqa: ANN401
        self._ended(result, None)

    def set_exception(self, error: Exception) -> None:
        self._ended(None, error)
