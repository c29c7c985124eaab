"""A bound for calls that wait at the same time: each keeps a connection to Redis while it waits."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from abe_redis.mcp.client_identity import Identity

MOST, MOST_EACH = 32, 8
"""Most calls that wait, of all clients together and of each."""

DID_NOT_WAIT = "It did not wait: too many calls wait already. Call again, or wait with one call at a time."


class Waits:
    """The calls of one server that wait."""

    def __init__(self) -> None:
        self._waiting: Counter[Identity | None] = Counter()

    @contextmanager
    def bounded(self, caller: Identity | None, arguments: dict[str, Any]) -> Iterator[bool]:
        """Let a call wait if the bound allows it; otherwise it is answered at once.

        Args:
            caller: Who makes the call.
            arguments: Those of the call; `wait_seconds` is changed.

        Yields:
            Whether it would have waited, but the bound is reached.
        """
        if not arguments.get("wait_seconds"):
            yield False
        elif self._waiting.total() >= MOST or self._waiting[caller] >= MOST_EACH:
            arguments["wait_seconds"] = 0
            yield True
        else:
            self._waiting[caller] += 1
            try:
                yield False
            finally:
                self._waiting[caller] -= 1
                if not self._waiting[caller]:
                    del self._waiting[caller]
