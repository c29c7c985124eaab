"""A command, and the promise that receives its answer."""

import asyncio
from copy import copy
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


_UNSENT = "the command was not sent"


def unsent[E: Exception](error: E) -> E:
    """Note on an error that its command was never written to a connection."""
    error.add_note(_UNSENT)
    return error


def was_sent(error: BaseException) -> bool:
    """Whether the command that ended with this error may have reached the server."""
    return _UNSENT not in getattr(error, "__notes__", ())


def sent[E: Exception](error: E) -> E:
    """A copy of an error for another command, which was written to the connection."""
    other = copy(error)
    vars(other).pop("__notes__", None)
    return other


class HungUpError(exceptions.ConnectionError):
    """The server closed the connection instead of answering a command of the greeting."""


class TooFewReplicasError(exceptions.ConnectionError):
    """The server has a write, and too few of its replicas have it yet."""
