"""One server, or the present primary behind Sentinels."""

from typing import override

from abe_redis.client.address import Address
from abe_redis.client.topology.node import Node
from abe_redis.client.topology.sentinel import Sentinels


class Single(Node):
    """All commands go to one server; as `Topology`."""

    def __init__(self, where: Address | Sentinels) -> None:
        self._sentinels = where if isinstance(where, Sentinels) else None
        super().__init__(where.find if isinstance(where, Sentinels) else where)

    @override
    async def refresh(self) -> None:
        # Check even while it answers: a primary that was replaced while it hung accepts writes until the
        # Sentinels find it some ten seconds later, and those writes are lost.
        if self._sentinels is not None and await self._sentinels.has_changed():
            self.drop("there is another primary")

    @override
    async def close(self) -> None:
        await super().close()
        if self._sentinels is not None:
            await self._sentinels.close()
