"""Where commands go: to one server, to the primary that Sentinels name, or to a cluster's nodes.

node.py      one server: the connection that all share, and those of blocking reads
single.py    the same, or the present primary behind Sentinels
sentinel.py  asks Sentinels for the present primary
cluster.py   sends each command to the node that has its slot; follows slots that move
away.py      which nodes are away, without another one in their place
slots.py     which slot a command belongs to

Other packages do not know the topology, except that keys of different slots need separate commands.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from abe_redis.client.calls import Promise, Words


class Outage(Protocol):
    """The servers of a topology that are away: they do not answer, or refuse everybody."""

    @property
    def reasons(self) -> Mapping[str, str]:
        """The servers in words, each with what is wrong with it."""

    @property
    def is_whole(self) -> bool:
        """Whether all are."""

    def node_of(self, key: str) -> str | None:
        """The server that has a key and is away; None if it is not away."""


class Topology(Protocol):
    """Sends commands to servers. Created without I/O; the first command opens a connection."""

    def send(self, words: Words, promise: Promise, *, replicas: int = 0) -> None:
        """Send a command that answers at once, once; as `Transport.send`.

        Args:
            words: The command.
            promise: Receives the answer.
            replicas: Number of replicas that must have the write before the command counts as answered.
                If they do not have it in time, it fails with redis.ConnectionError, although it was executed.
        """

    async def block(self, words: Words) -> Any:  # noqa: ANN401
        """Send a blocking read over a connection of its own, and wait for its answer.

        Raises:
            redis.ConnectionError: The server could not be reached, or the connection broke before the answer.
            redis.TimeoutError: The server did not answer in time.
            redis.RedisError: The server answered with an error.
        """

    @property
    def place(self) -> str:
        """Host and port, when this is one of several servers."""
        return ""

    @property
    def identity(self) -> str:
        """Identifies the servers, and the user who connects."""
        return ""

    def slot(self, key: str) -> int:  # noqa: ARG002 - one server has all slots
        """The slot of a key. A command may name several keys only if they share one."""
        return 0

    def by_slot(self, keys: Sequence[str]) -> list[list[str]]:
        """The keys in groups that one command may name together."""
        return [list(keys)] if keys else []

    def servers(self, *, here: bool = False) -> "Sequence[Topology]":  # noqa: ARG002 - one server is never left out
        """Each known server that has keys of its own, for commands about a whole server.

        Args:
            here: Leave out those that are away.
        """
        return [self]

    def outage(self) -> "Outage | None":
        """Which servers are away; None if none is known to be."""
        return None

    async def judge(self) -> None:
        """Find out of every server whether it is away."""

    async def refresh(self) -> None:
        """Find out whether a server was replaced, and if so, close the connections to it.

        Raises:
            redis.RedisError: No server could answer.
        """

    async def close(self) -> None:
        """Close for good. Waiting calls and later ones fail with redis.ConnectionError."""
