"""One server, or the present primary behind Sentinels."""

from collections.abc import Sequence
from typing import Any, override

from abe_redis.topology import Topology
from abe_redis.topology.node import Node
from abe_redis.topology.sentinel import Sentinels
from abe_redis.transport import Address, Promise, Words


class Single(Topology):
    """All commands go to one server; as `Topology`."""

    def __init__(self, where: Address | Sentinels) -> None:
        self._sentinels = where if isinstance(where, Sentinels) else None
        self._node = Node(where.find if isinstance(where, Sentinels) else where)

    @override
    def send(self, words: Words, promise: Promise, *, replicas: int = 0) -> None:
        self._node.send(words, promise, replicas=replicas)

    @override
    async def block(self, words: Words) -> Any:
        return await self._node.block(words)

    @override
    def slot(self, key: str) -> int:
        return 0

    @override
    def by_slot(self, keys: Sequence[str]) -> list[list[str]]:
        return [list(keys)] if keys else []

    @override
    def servers(self) -> Sequence["Single"]:
        return [self]

    @override
    async def look(self) -> None:
        # Also while it answers: one that was replaced while it hung goes on as if nothing had happened,
        # until the Sentinels find it some ten seconds later, and loses what it is given meanwhile.
        if self._sentinels is not None and await self._sentinels.has_changed():
            self._node.drop("there is another primary")

    @override
    async def close(self) -> None:
        await self._node.close()
        if self._sentinels is not None:
            await self._sentinels.close()
