"""A command, and the promise that receives its answer."""

import asyncio
from typing import Any, Protocol

from redis import exceptions

type Word = str | bytes | int | float
type Words = tuple[Word, ...]
type Answer = asyncio.Future[Any]


class Promise(Protocol):
    """Receives an answer at once, in the reader's callback; a future would pass it on later."""

    def done(self) -> bool:
        """Whether nothing waits for the answer any more."""

    def set_result(self, result: Any) -> None:  # noqa: ANN401
        """Receive the answer."""

    def set_exception(self, error: Exception) -> None:
        """Receive an error: the server's, or that of a lost connection."""


class HungUpError(exceptions.ConnectionError):
    """The server closed the connection instead of answering a command of the greeting."""
