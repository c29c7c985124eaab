"""One server, or the present primary behind Sentinels."""

import logging
from collections.abc import Sequence
from typing import override

from abe_redis.client.address import Address
from abe_redis.client.topology.node import Node
from abe_redis.client.topology.sentinel import Sentinels
from abe_redis.client.topology.slots import grouped, slot_of

_LOG = logging.getLogger(__name__)


class Single(Node):
    """All commands go to one server; as `Topology`.

    The address may lead to a proxy of a cluster that sends each command to the right shard, as in Redis
    Enterprise or ElastiCache Serverless. Such a proxy refuses commands on keys of several slots. From the
    first CROSSSLOT on, keys are grouped by slot, and the refused caller tries again.
    """

    def __init__(self, where: Address | Sentinels) -> None:
        self._sentinels = where if isinstance(where, Sentinels) else None
        self._has_slots = False
        super().__init__(where.find if isinstance(where, Sentinels) else where)

    @property
    @override
    def identity(self) -> str:
        return super().identity if self._sentinels is None else self._sentinels.identity

    @override
    def slot(self, key: str) -> int:
        return slot_of(key) if self._has_slots else 0

    @override
    def by_slot(self, keys: Sequence[str]) -> list[list[str]]:
        return grouped(keys) if self._has_slots else super().by_slot(keys)

    @override
    def _note_slots(self) -> None:
        if not self._has_slots:
            _LOG.info("The server wants one slot per command: keys are grouped by slot from now on.")
        self._has_slots = True

    @override
    async def refresh(self) -> None:
        # Check even while it answers: a primary that was replaced while it hung accepts writes until the
        # Sentinels find it some ten seconds later, and those writes are lost.
        if self._sentinels is None or all(one.leads_to is None for one in self._every()):
            return
        primary = await self._sentinels.find()
        for one in self._every():
            # Each by itself: one that was opened since then leads to the new primary already.
            if one.leads_to not in {None, primary}:
                one.drop("there is another primary")

    @override
    async def close(self) -> None:
        await super().close()
        if self._sentinels is not None:
            await self._sentinels.close()
