"""A client whose commands are executed at once, or suffer another fate; for the engine's functions alone."""

from collections.abc import Coroutine
from typing import Any, Literal

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import NoScriptError, ResponseError

from tests.simulation.server.replies import Refused, Reply, read
from tests.simulation.server.server import Server

type Fate = Literal["answered", "answer lost", "command lost", "late"]
"""What becomes of a command; one that is late is executed when nobody waits for it any more."""


class Direct(Redis):
    """A client of a simulated server."""

    def __init__(self, server: Server, fate: Fate = "answered") -> None:
        self._server = server
        self._fate = fate
        self.late: list[tuple[bytes, ...]] = []
        """Commands that are still to be executed."""

    async def execute_command(self, *args: Any, **_: Any) -> Any:
        """Execute a command, or what its fate says."""
        words = [word if isinstance(word, bytes) else str(word).encode() for word in args]
        if self._fate == "command lost":
            raise Lost("the command was lost")
        if self._fate == "late" and words[0] != b"EVALSHA":
            self.late.append(tuple(words))
            raise Lost("nobody knows where the command is")
        reply = self._execute(words)
        if self._fate == "answer lost" and not isinstance(reply, NoScriptError):
            raise Lost("the answer was lost")
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _execute(self, words: list[bytes]) -> Any:
        if self._fate == "late":  # in full, so that its fate does not depend on what was sent before
            return NoScriptError("NOSCRIPT")
        found: list[Reply] = []
        self._server.call(words, found.append)
        reply = read(found[0])
        return _error(reply) if isinstance(reply, Refused) else reply

    def __del__(self, *_: Any) -> None:
        pass  # there is no connection


def _error(refused: Refused) -> ResponseError:
    if refused.text.startswith("NOSCRIPT"):
        return NoScriptError(refused.text)
    return ResponseError(refused.text)


def finish[T](work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    work.close()
    raise RuntimeError("it waits for something, and nothing here would wake it")
