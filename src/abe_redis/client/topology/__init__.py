"""Where commands go: to one server, to the primary that Sentinels name, or to a cluster's nodes.

node.py      one server: the connection that all share, and those of blocking reads
single.py    the same, or the present primary behind Sentinels
sentinel.py  asks Sentinels for the present primary
cluster.py   each command to the node that has its slot; follows slots that move
slots.py     which slot a command belongs to

Nothing outside knows which of these it is, except that keys of several slots need a command each.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from abe_redis.client.calls import Promise, Words


class Topology(Protocol):
    """The way of commands to servers. Made without I/O; connections are opened by the first command."""

    def send(self, words: Words, promise: Promise, *, replicas: int = 0) -> None:
        """Send a command that answers at once, once; as `Transport.send`.

        Args:
            words: The command.
            promise: Who is told the answer.
            replicas: How many replicas must have what it wrote before it counts as answered; if they do not
                in time, it failed with redis.ConnectionError, though it was done.
        """

    async def block(self, words: Words) -> Any:  # noqa: ANN401
        """Send a blocking read over a connection of its own, and wait for its answer.

        Raises:
            redis.ConnectionError: The server was not reached, or was lost before it answered.
            redis.TimeoutError: It did not answer in time.
            redis.RedisError: It answered with an error.
        """

    @property
    def place(self) -> str:
        """Host and port, when it is one of several servers."""
        return ""

    def slot(self, key: str) -> int:  # noqa: ARG002 - for one server they are all the same
        """A command may name several keys of one slot."""
        return 0

    def by_slot(self, keys: Sequence[str]) -> list[list[str]]:
        """The keys in groups of which a command may name several."""
        return [list(keys)] if keys else []

    def servers(self) -> "Sequence[Topology]":
        """Each server that has keys by itself, as far as is known; for what concerns a whole server."""
        return [self]

    async def look(self) -> None:
        """Find out whether a server was replaced, and if so, hang up on it.

        Raises:
            redis.RedisError: Nobody could be asked.
        """

    async def close(self) -> None:
        """Hang up for good; calls that wait, and later ones, fail with redis.ConnectionError."""
